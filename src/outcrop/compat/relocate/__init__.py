"""Moves the files of a distribution from the root of a machine to a prefix."""
