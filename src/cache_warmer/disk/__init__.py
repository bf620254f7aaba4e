"""File systems below the cache: atomic writes, locks, free space, and what a volume supports."""
