"""Archives: one generation as a tar stream, exported from a cache and imported into another one without a hub."""
