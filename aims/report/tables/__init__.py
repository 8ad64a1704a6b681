"""The tables of a report: what stands in them, and how they are written."""
