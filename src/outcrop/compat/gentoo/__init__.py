"""A layer that Gentoo Prefix builds from source, from a pinned snapshot, overlays and sets."""
