"""What only a GPU can show. Imports bench and below."""
