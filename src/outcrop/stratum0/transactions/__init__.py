"""Writable views of a revision, and the leases that keep their paths."""
