"""The catalog of models, its lock, and the digests that identify both by content."""
