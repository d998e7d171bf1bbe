"""experiment.yaml, read, checked, typed and frozen. Imports paper and below."""
