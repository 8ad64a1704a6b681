"""Writers of the raw layouts, one module each: they take arrays and write a tree of raw files."""
