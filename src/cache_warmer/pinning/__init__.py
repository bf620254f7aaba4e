"""Pin a catalog: branches and tags become commits in its text, and its lock records what these commits hold."""
