"""Other authors' nets. Imports nets and below."""
