"""What the converters share: finding files, and reading label maps, label files and tables."""
