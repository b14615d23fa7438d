"""Checks of published repositories that share no code with the publisher or the format package."""
