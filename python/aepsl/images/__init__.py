"""Pictures, masks and their palette: reading, writing, and what a net sees of them. Imports base."""
