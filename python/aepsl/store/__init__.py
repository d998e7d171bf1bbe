"""SHA-256 of inputs, records of jobs, and the repair of damaged results. Imports base."""
