"""What the paper says, and the nets and rows of its tables. Imports nothing of ours."""
