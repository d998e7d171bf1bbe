"""The report of a run: its tables on a terminal, as Markdown, and as one HTML page with charts and pictures."""
