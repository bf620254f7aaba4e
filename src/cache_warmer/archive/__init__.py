"""One generation as a tar stream: written from a cache, and read into another one that has no hub."""
