"""Reading finished runs: records, scored instances, curves, and results over seeds."""
