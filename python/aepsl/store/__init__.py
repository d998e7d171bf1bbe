"""What is kept of a run: contents of files, what a result was made of, what heals. Imports base."""
