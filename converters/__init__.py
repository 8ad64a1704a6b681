"""Converters, one file or folder per raw dataset: each reads the published files image by image."""
