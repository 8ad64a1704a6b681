"""Simulated sensors: one module per sensor, each with a function `sense` from geometry to its image."""
