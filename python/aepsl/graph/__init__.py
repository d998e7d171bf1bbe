"""The one graph of a run: its stages, what each is made of, where its results lie. Imports settings and below."""
