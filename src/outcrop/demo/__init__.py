"""The demonstration: from an empty directory to running scientific software, with every part of Outcrop at work."""
