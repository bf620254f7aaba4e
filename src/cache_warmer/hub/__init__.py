"""Hugging Face hub and servers like it: listings, the HTTP client, retries, and errors of both."""
