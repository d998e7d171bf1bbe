"""What is kept of a run: contents of files, records of jobs, what heals. Imports base."""
