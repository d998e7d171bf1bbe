"""Where everything of a run lies, and its stages. Imports paper, settings and below."""
