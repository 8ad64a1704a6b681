"""Measurements of speed and memory, one module each: `python -m aims.benchmarks.speed.NAME`."""
