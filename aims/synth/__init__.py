"""Synthetic data: procedural scenes, and writers of the raw layouts that the converters read."""
