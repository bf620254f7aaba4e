"""Pins a catalog: branches and tags become commits in its text, and its lock says what those commits hold."""
