"""Experiments on the pretraining of sam-tiny: recipes that change one thing at a time, and their table."""
