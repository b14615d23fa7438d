"""The ladder: ways to show a repository to a command, tried from the best, and what the node says of each."""
