"""Raw files of measurements as arrays, in the dtype that they store, and the patterns of their names."""
