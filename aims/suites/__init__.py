"""Suites: one TOML file a table or figure, expanded into runs, of which the missing ones are made."""
