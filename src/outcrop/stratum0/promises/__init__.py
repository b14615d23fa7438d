"""What users may rely on, and how it is taken back in time."""
