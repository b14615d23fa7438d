"""Mending what a check has found."""
