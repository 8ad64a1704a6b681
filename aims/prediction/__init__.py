"""Trained models at work: masks for recordings that no dataset holds."""
