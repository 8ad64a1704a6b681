"""The printable tables of a report, and their formats: Markdown, LaTeX and CSV."""
