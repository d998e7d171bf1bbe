"""A training: the loop, its snapshots, and who watches it. Imports nets and below."""
