"""The lease of a cache: one writer at a time."""
