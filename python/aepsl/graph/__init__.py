"""The graph of a run: its stages, what each is made of, where its results are. Imports settings and below."""
