"""What a program reads of a repository: recorded, kept in a file, read back."""
