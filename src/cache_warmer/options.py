"""The options of `cache-warmer` beside those that all programs share, each with its environment variable."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cache_warmer.hub.environment import strip_quotes
from model_cache.cli.options import Option, duration, positive_duration


def _url(text: str) -> str:
    text = strip_quotes(text)
    try:
        parts = urlsplit(text)  # raises ValueError for brackets that are not closed
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # without its text, which quotes a part of the password where that has a slash in it
        is_usable = False
    if not is_usable or not text.isprintable() or " " in text:
        raise ValueError("an http or https URL, such as https://huggingface.co")
    return text.rstrip("/")


def _file(text: str) -> Path | None:
    if "\x00" in text:
        raise ValueError("a file")
    return Path(text)


def _name(text: str) -> str:
    if not text.isprintable() or len(text) > 400:
        raise ValueError("a name of at most 400 printable characters")
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        raise ValueError("a whole number from 0 to 999999")
    return int(text)


HUB: Final[Option[str | None]] = Option(
    "--hub",
    "HF_ENDPOINT",
    _url,
    None,
    "URL",
    "URL of the Hugging Face hub or of a mirror",
    "that of the hub client",
)
WHEEL_BASE: Final[Option[str | None]] = Option(
    "--wheel-base",
    "QDA_WHEEL_BASE",
    _url,
    None,
    "URL",
    "URL of a folder with the wheels of the spaCy packages",
    "the URLs in the catalog",
)
CA_BUNDLE: Final[Option[Path | None]] = Option(
    "--ca-bundle",
    "QDA_CA_BUNDLE",
    _file,
    None,
    "FILE",
    "PEM file with certificates of authorities to trust in addition to the system's (or those of SSL_CERT_FILE)",
    "none",
)
STALL_TIMEOUT: Final = Option(
    "--stall-timeout",
    "QDA_STALL_TIMEOUT",
    positive_duration,
    60.0,
    "TIME",
    "abort a connection that has been idle this long, in seconds or as 500ms, 60s, 5m",
    "60s",
)
WAIT: Final = Option(
    "--wait",
    "QDA_WAIT",
    duration,
    1800.0,
    "TIME",
    "how long to wait while another warmer writes to the cache, in seconds or as 30s, 30m, 1h",
    "30m",
)
REFERENCE: Final[Option[str | None]] = Option(
    "--reference",
    "QDA_REFERENCE",
    _name,
    None,
    "NAME",
    "name of the reference that protects the generation from `collect`",
    "the catalog's path; in a cluster NAMESPACE/RELEASE",
)
KEEP: Final = Option(
    "--keep",
    "QDA_KEEP",
    _count,
    1,
    "N",
    "number of generations without a reference to keep for a rollback, newest first",
)
