"""A training: the loop, its snapshots and its observers. Imports nets and below."""
