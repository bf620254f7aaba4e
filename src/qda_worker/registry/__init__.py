"""The models of this worker: from a cache that fills to engines that answer, and an eye on their files."""
