"""Tables, figures and a page of finished runs: the paper's exhibits, and methods by modalities.

This package imports nothing itself: a process that only reads runs needs neither matplotlib nor jinja2.
"""
