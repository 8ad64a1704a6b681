"""The AIMS dataset format: writing, reading, verifying; instances and clicks."""
