"""Pseudonyms: find names and numbers that identify people, replace them over a corpus, and restore them. No gRPC."""
