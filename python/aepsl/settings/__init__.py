"""experiment.yaml, read and checked. Imports base."""
