"""Addresses in messages: shown without user, password and query, which may be secrets.

`redacted` is for a text that is known to be an address, or should be one. It shows what certainly is no secret, also of
an address with mistakes: a password with a slash in it makes the rest look like a path. `without_passwords` is for
texts that may contain addresses, as the messages of libraries. Every error of ours passes its message through it.

A text of the library that parsed an address is never shown for one that has a password: parsers quote fragments.
"""

import re
from typing import Final

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]*)(:\d{0,5})?")
_HIDDEN: Final = "…"
# Everything before the last @ of a word that begins as an address does, or with a name and a password.
_USER_INFORMATION: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s\"'<>]*@|(?<![^\s\"'=(\[])()[^\s\"'<>/@:()]+:[^\s\"'<>@]*@"
)
# What makes a value of an option look like an address with user information.
_ADDRESS: Final = re.compile("@|%40|://", re.IGNORECASE)


def redacted(url: str) -> str:
    """Return an address without user information, query and fragment; what cannot be told from a secret is `…`."""
    scheme, separator, rest = url.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        scheme, separator, rest = "", "", url
    user, at, after = rest.rpartition("@")
    if at and re.search("[?#]", user):  # a query with an @ in it, or a password with a ? in it
        return f"{scheme}{separator}{_HIDDEN}"
    after = re.split("[?#]", after, maxsplit=1)[0]
    host, slash, path = after.partition("/")
    if not _HOST.fullmatch(host):
        return f"{scheme}{separator}{_HIDDEN}"
    return f"{scheme}{separator}{host}{slash}{path}"


def shown_value(text: str) -> str:
    """Return the value of any option as messages show it: an address as `redacted` returns it, all else as it is."""
    return redacted(text) if _ADDRESS.search(text) else text


def without_passwords(text: str) -> str:
    """Return a text with the user information of each address in it removed."""
    return _USER_INFORMATION.sub(lambda match: match[1] or "", text) if "@" in text else text
