"""URL of a file below a base URL. A module of its own because light commands use it: standard library alone.

`model_cache.urls` shows URLs in messages.
"""

from urllib.parse import quote, urlsplit, urlunsplit


def join_file_name(base: str, file_name: str) -> str:
    """Return `BASE/<file name>`; a query of the base (a signature) stays at the end."""
    parts = urlsplit(base)
    path = f"{parts.path.rstrip('/')}/{quote(file_name)}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
