"""Comparison tables of methods by modalities on one dataset: scores, paired tests, and costs."""
