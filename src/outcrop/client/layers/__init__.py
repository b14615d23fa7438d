"""Layers that overlayfs puts together to a repository: its metadata, plain objects, and what is missing."""
