"""One tree with every kind of entry, in repositories of every make, reads the same by every way."""
