"""The file of bearer tokens: one `NAME TOKEN` a line, where the token may be given as `sha256:` and its digest.

A name may have several tokens, so that a new one is valid before the old one is removed. Blank lines and what
follows a word that begins with `#` are ignored. A token belongs to one name only.

The digests alone are kept, and a token that arrives is compared by its digest. The time of a look-up in a table could
tell an attacker which beginnings of digests exist; therefore the keys of the table are hashed once more with a random
key of this process, and the digest that is found is compared in constant time.

No message contains a token or a part of one. A malformed line is named by its number alone, because its first word may
be the token.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from itertools import takewhile
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from model_cache.file_io import read_small_file
from qda_worker.limits import BEARER_TOKEN

# Length of a token in characters. With 16 letters and digits it cannot be guessed.
MIN_TOKEN_LENGTH: Final = 16
MAX_TOKEN_LENGTH: Final = 1024

# Limit of the file, in bytes: some ten thousand tokens.
_MAX_FILE_BYTES: Final = 2**20
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,63}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:([0-9a-fA-F]{64})", re.ASCII)

_FORMAT_REMEDY: Final = (
    "write NAME TOKEN on each line, or NAME sha256:DIGEST; `openssl rand -hex 32` makes a token"
)


class TokenTable:
    """The tokens of a file, as digests. Equal tables have the same names and tokens."""

    def __init__(self, name_by_digest: dict[bytes, str]) -> None:
        """Create the table.

        Args:
            name_by_digest: SHA-256 of each token, and the name that it belongs to.
        """
        self._name_by_digest = dict(name_by_digest)
        self._key = secrets.token_bytes(32)
        self._entries = {self._hash(digest): (digest, name) for digest, name in name_by_digest.items()}

    def find(self, token: str) -> str | None:
        """Return the name that a token belongs to; None if there is none."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found, name = self._entries.get(self._hash(digest), (b"", ""))
        return name if hmac.compare_digest(found, digest) else None

    @property
    def names(self) -> frozenset[str]:
        """The names that have a token."""
        return frozenset(self._name_by_digest.values())

    def __len__(self) -> int:
        return len(self._name_by_digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenTable) and self._name_by_digest == other._name_by_digest

    __hash__ = None  # type: ignore[assignment]  # compared by content

    def __repr__(self) -> str:
        return f"TokenTable({len(self)} tokens of {len(self.names)} names)"

    def _hash(self, digest: bytes) -> bytes:
        return hmac.digest(self._key, digest, "sha256")


def read_tokens(path: Path) -> TokenTable:
    """Read and check the file of tokens.

    Raises:
        UsageError: the file cannot be read, is empty or malformed, or other users of the machine may read its tokens.
            The message names file and line.
    """
    try:
        content = read_small_file(path, _MAX_FILE_BYTES)
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageError(
            f"the tokens {path} cannot be read: {error.strerror or error}",
            "give a file that this user may read",
        ) from error
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"the tokens {path} are not text in UTF-8", _FORMAT_REMEDY) from error
    names: dict[bytes, str] = {}
    has_plain_token = False
    for number, line in enumerate(lines, 1):
        words = list(takewhile(lambda word: not word.startswith("#"), line.split()))
        if not words:
            continue
        name, digest, is_plain = _parse_line(words, f"the tokens {path}, line {number}")
        has_plain_token |= is_plain
        if names.setdefault(digest, name) != name:
            raise UsageError(
                f"the tokens {path}, line {number}: this token already belongs to another name",
                "give each name tokens of its own",
            )
    if not names:
        raise UsageError(f"the tokens {path} contain no token", _FORMAT_REMEDY)
    _check_mode(path, mode, has_plain_token=has_plain_token)
    return TokenTable(names)


def _parse_line(words: list[str], where: str) -> tuple[str, bytes, bool]:
    """Return the name, the digest of the token, and whether the line has the token itself."""
    if len(words) != 2:
        found = f"{len(words)} word{'s' if len(words) > 1 else ''}"
        raise UsageError(f"{where}: found {found} instead of a name and a token", _FORMAT_REMEDY)
    name, token = words
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{where}: the name is not valid",
            "use at most 64 ASCII letters, digits and . _ @ / -, beginning with a letter or digit",
        )
    if token.startswith("sha256:"):
        match = _DIGEST.fullmatch(token)
        if match is None:
            raise UsageError(
                f"{where}: the digest is not 64 hexadecimal digits", "write it as sha256sum prints it"
            )
        return name, bytes.fromhex(match[1]), False
    if not MIN_TOKEN_LENGTH <= len(token) <= MAX_TOKEN_LENGTH:
        raise UsageError(
            f"{where}: the token has {len(token)} characters",
            f"use a random token of {MIN_TOKEN_LENGTH} to {MAX_TOKEN_LENGTH}; `openssl rand -hex 32` makes one",
        )
    if not BEARER_TOKEN.fullmatch(token):
        raise UsageError(
            f"{where}: the token has characters that a header cannot carry",
            "use ASCII letters, digits and . _ ~ + / -; `openssl rand -hex 32` makes a token",
        )
    return name, hashlib.sha256(token.encode("ascii")).digest(), True


def _check_mode(path: Path, mode: int, *, has_plain_token: bool) -> None:
    """Refuse a file that all users of the machine may write, or read unless it has digests only."""
    if os.name != "posix":  # Windows has no such modes
        return
    if mode & stat.S_IWOTH:
        raise UsageError(
            f"every user may write the tokens {path}", f"remove that permission: chmod o-w {path}"
        )
    if has_plain_token and mode & stat.S_IROTH:
        raise UsageError(
            f"every user may read the tokens {path}",
            f"remove that permission (chmod o-r {path}; in Kubernetes the volume's defaultMode: 0440), or write each "
            "token as sha256: and its digest",
        )
