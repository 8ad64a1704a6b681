"""Suites (one TOML per table or figure of the paper) and the speed measurements of AIMS itself."""
