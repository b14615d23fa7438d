"""Checking a repository: what is wrong with it, where, how bad that is, and how it is mended. Nothing is changed."""
