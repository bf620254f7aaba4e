"""Bodies on their way: fetched in parts, hashed as they grow, kept over runs."""
