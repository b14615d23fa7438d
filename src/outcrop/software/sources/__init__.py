"""Source files for building without the open internet: found by checksum, verified, kept in a mirror directory."""
