"""Values of the environment that a hub connection uses, as people write them: in quotes, with a line break at the end.

`docker --env-file`, YAML and copied text leave quotes around a value. These are taken off. What is still no token is
reported by the kind of its first wrong character: a message never shows any part of a token.

A module of its own, without the HTTP client and the hub library, because light commands use it for addresses, too.
"""

import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from model_cache.file_io import read_small_file

# In the order in which the hub library looks at them.
TOKEN_VARIABLES: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# Programs read them in upper and in lower case.
PROXY_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
PROXY_SCHEMES: Final = frozenset({"http", "https", "socks5", "socks5h"})
_QUOTES: Final = frozenset({'""', "''", "``", "“”", "„“", "‘’", "«»"})
_TOKEN: Final = re.compile("[!-~]+")
_MAX_TOKEN_BYTES: Final = 64 << 10


def strip_quotes(text: str) -> str:
    """Return the text without white space and matching quotes around it."""
    text = text.strip()
    while len(text) > 1 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip()
    return text


def clean_tokens(environ: MutableMapping[str, str]) -> None:
    """Set the token variables to what they mean; an empty one is unset.

    Raises:
        UsageError: one holds what cannot be a token.
    """
    for variable in TOKEN_VARIABLES:
        if variable in environ:
            token = _token(environ[variable], variable)
            if token:
                environ[variable] = token
            else:
                del environ[variable]


def read_token_file(path: Path) -> str:
    """Return what the hub library's token file holds; empty if it cannot be read."""
    try:
        return read_small_file(path, _MAX_TOKEN_BYTES).decode("utf-8", "replace").strip()
    except (OSError, ValueError):  # none, or a NUL in its path
        return ""


def clean_token_file(path: Path, environ: MutableMapping[str, str]) -> None:
    """Set `HF_TOKEN` to the token of the hub library's file if that is in quotes and no variable gives a token.

    Raises:
        UsageError: the file holds what cannot be a token.
    """
    if any(variable in environ for variable in TOKEN_VARIABLES):
        return
    text = read_token_file(path)
    token = _token(text, f"the token file {path}")
    if token and token != text:
        environ[TOKEN_VARIABLES[0]] = token


def _token(text: str, origin: str) -> str:
    token = strip_quotes(strip_quotes(text).removeprefix("Bearer "))
    if token and not _TOKEN.fullmatch(token):
        wrong = next(character for character in token if not _TOKEN.fullmatch(character))
        if wrong in "\r\n":
            kind = "a line break"
        elif wrong.isspace():
            kind = "white space"
        elif wrong.isprintable():
            kind = "a character outside ASCII"
        else:
            kind = "a control character"
        raise UsageError(
            f"{origin} holds {kind} inside, so it is no token",
            "set it to the token alone, as https://huggingface.co/settings/tokens shows it, or unset it",
        )
    return token
