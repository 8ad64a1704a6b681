"""Suites (one TOML a table or figure of the paper) and AIMS' own speed measurements."""
