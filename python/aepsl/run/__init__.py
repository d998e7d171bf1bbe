"""Commands that start, do, plan, watch and vary runs. Imports stages and below."""
