"""What is left of a repository when a publisher is killed, or its disk fails, at any of its system calls."""
