"""The tables and figures of the SimCMF paper: our scores next to the published numbers."""
