"""Outcrop: run or use a shared stack of scientific software."""

__version__ = "0.1.0"
