"""Debian as a source of packages: signed metadata, resolution, a mirror by content, the packages themselves."""
