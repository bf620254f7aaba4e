"""URLs: without secrets for messages and logs, and of a file below a base URL.

Messages show a URL without user, password and query, because signed URLs have secrets in their query. A module of its
own because light commands show URLs, too: it imports the standard library alone.
"""

from urllib.parse import quote, urlsplit, urlunsplit


def redacted(url: str) -> str:
    """Return the URL without user information, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(an address that cannot be read)"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def join_file_name(base: str, file_name: str) -> str:
    """Return `BASE/<file name>`; a query of the base (a signature) stays at the end."""
    parts = urlsplit(base)
    path = f"{parts.path.rstrip('/')}/{quote(file_name)}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
