"""Commands that start, plan, watch and vary runs."""
