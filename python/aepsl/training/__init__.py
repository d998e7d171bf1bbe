"""What a training leaves to be read. Imports nets and below."""
