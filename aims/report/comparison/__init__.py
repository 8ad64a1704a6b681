"""Every method beside every sensor, on one dataset: scores, paired tests, and costs."""
