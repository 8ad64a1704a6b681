"""One module per raw layout: arrays in, a tree of raw files out."""
