"""Suites: one TOML file per table or figure, expanded into runs; missing runs are computed."""
