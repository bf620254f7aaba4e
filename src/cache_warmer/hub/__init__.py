"""The hub and what serves like it: lists, addresses, the HTTP session, and what its refusals mean."""
