"""What is wanted: the catalog, its lock, and the digests that name it."""
