"""Options of the warmer beside the shared ones, each with its environment variable."""

from typing import Final
from urllib.parse import urlsplit

from cache_warmer.commands.env import EnvFormat
from model_cache.cli.options import Option, above_zero, duration, words


def _address(text: str) -> str:
    parts = urlsplit(text)  # raises ValueError for brackets that do not close
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an http or https address, as https://huggingface.co")
    return text.rstrip("/")


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
    _address,
    None,
    "URL",
    "the Hugging Face hub or a mirror of it",
    "the hub client's own",
)
WHEEL_BASE: Final[Option[str | None]] = Option(
    "--wheel-base",
    "QDA_WHEEL_BASE",
    _address,
    None,
    "URL",
    "folder that holds the wheels of spaCy packages",
    "the URLs in the catalog",
)
STALL_TIMEOUT: Final = Option(
    "--stall-timeout",
    "QDA_STALL_TIMEOUT",
    above_zero,
    60.0,
    "TIME",
    "give a connection up without a byte",
    "60s",
)
WAIT: Final = Option("--wait", "QDA_WAIT", duration, 1800.0, "TIME", "wait for another warmer", "30m")
REFERENCE: Final[Option[str | None]] = Option(
    "--reference",
    "QDA_REFERENCE",
    _name,
    None,
    "NAME",
    "who uses what is warmed, for collect",
    "the catalog's path; in a cluster NAMESPACE/RELEASE",
)
KEEP: Final = Option(
    "--keep",
    "QDA_KEEP",
    _count,
    1,
    "N",
    "how many other generations stay, newest first, so that a rollback finds them",
)
ENV_FORMAT: Final = Option(
    "--format",
    "QDA_ENV_FORMAT",
    words(EnvFormat),
    EnvFormat.SHELL,
    "shell|compose|dotenv|json",
    "of the variables",
)
