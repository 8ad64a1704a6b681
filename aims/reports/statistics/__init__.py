"""Intervals and paired tests of scores."""
