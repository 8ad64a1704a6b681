"""What the converters share: finding files, and reading pictures, arrays, label maps and tables."""
