"""Garbage collection: what is kept, and the removal of all else."""
