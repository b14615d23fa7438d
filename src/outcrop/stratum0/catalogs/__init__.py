"""The catalogs of a revision, open for change, and where each of them begins and ends."""
