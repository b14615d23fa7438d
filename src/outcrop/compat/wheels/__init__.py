"""Python's wheels in a layer: what a release does not have and Python programs need."""
