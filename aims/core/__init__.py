"""Types and rules that all other packages share. Imports no other package of AIMS and no torch."""
