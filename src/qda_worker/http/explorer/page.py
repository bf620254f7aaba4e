"""The page as a response: one HTML document that loads nothing but the OpenAPI document beside it.

Its style and its script are in it, and the content security policy allows no others, by their hashes. It may connect
to its own origin only, and no other site may frame it.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from string import Template


@cache
def build_page() -> tuple[bytes, Sequence[tuple[str, str]]]:
    """Return the page and the headers of its response."""
    style, script = _read("style.css"), _read("explorer.js")
    page = Template(_read("page.html")).substitute(style=style, script=script)
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    )


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(content: str) -> str:
    return f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}"
