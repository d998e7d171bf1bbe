"""The report of a run: its tables, charts, pictures and page. Imports run and below."""
