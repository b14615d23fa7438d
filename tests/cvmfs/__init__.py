"""Tests of the format package; `strategies` generates values of every type."""
