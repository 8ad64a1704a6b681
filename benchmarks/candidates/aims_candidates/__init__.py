"""Candidates for a better baseline than SimCMF: each is one file that registers a method or a tuning."""
