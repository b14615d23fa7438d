"""Detection, and the shell files that users source."""
