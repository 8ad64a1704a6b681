"""Contracts that every other package shares. Imports nothing of AIMS and no torch."""
