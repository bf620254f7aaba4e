"""The right to write to a cache."""
