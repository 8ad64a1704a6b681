"""The figures of a report: plots of scores, and pictures of masks."""
