"""The models that this worker serves (`registry`), and the loop that checks and loads them (`cache_watch`)."""
