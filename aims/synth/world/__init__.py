"""Metric 3-D scenes, rendered once into the geometry from which every sensor makes its picture."""
