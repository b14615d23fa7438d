"""Measurements of Outcrop on real work. `README.md` says how they are made."""
