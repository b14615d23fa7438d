"""Revisions: their names, what they changed, and the way back."""
