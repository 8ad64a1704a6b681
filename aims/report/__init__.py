"""Tables of the runs: beside the paper's numbers, and every method beside every sensor.

Nothing is imported here: a process that reads runs needs neither matplotlib nor jinja2.
"""
