"""What an answer to the request for a body, or for a range of one, is good for: judged before it is read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class Use(Enum):
    """What to do with an answer."""

    RANGE = auto()
    """Its body is what was asked for, from the first byte asked for on."""
    WHOLE = auto()
    """Its body is the whole, from zero on: the server ignores ranges, or was asked for all."""
    NO_RANGES = auto()
    """Of no use: another range, or a refusal of ranges. Ask for the whole."""
    REFUSED = auto()
    """No body; the status says why."""
    PAGE = auto()
    """A proxy's or portal's page of HTML."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What an answer is good for.

    Attributes:
        use: of its body.
        other_size: of the whole, as the answer names it, if it names one that is not the promised one.
        compressed: the body is to be decompressed; only of a ``WHOLE``.
    """

    use: Use
    other_size: int | None = None
    compressed: bool = False


_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def range_header(start: int, end: int | None, size: int | None) -> str | None:
    """Return the header to ask for these bytes of a body of that size; None: ask without one."""
    if end is None or end == size:
        return f"bytes={start}-" if start else None
    return f"bytes={start}-{end - 1}"


def judge(status: int, headers: Mapping[str, str], start: int, size: int | None, *, ranged: bool) -> Judged:
    """Judge the answer to a request for the bytes from ``start`` on of a body of that size (None: not known).

    Args:
        status, headers: of the answer; the names of the headers in any case.
        start: the first byte asked for.
        size: what the body must have.
        ranged: whether the request named a range.
    """
    if status == 206:
        return _partial(headers, start, size)
    if status == 200:
        return _whole(headers, size)
    if status == 416 and ranged:
        return Judged(Use.NO_RANGES)
    return Judged(Use.REFUSED)


def is_compressed(headers: Mapping[str, str], length: int | None, size: int | None) -> bool:
    """Return whether a body of that length is a compressed form of what must have that size.

    None is asked for, and some servers send one all the same. One of the right length is the file itself, which
    was compressed when it was stored.
    """
    coding = headers.get("Content-Encoding", "").strip().lower()
    return coding not in ("", "identity") and (length is None or length != size)


def _partial(headers: Mapping[str, str], start: int, size: int | None) -> Judged:
    match = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != start:
        return Judged(Use.NO_RANGES)
    total = None if match[3] == "*" else int(match[3])
    if is_compressed(headers, total, size):
        return Judged(Use.NO_RANGES)  # the bytes are counted in the compressed form
    return Judged(Use.RANGE, total if size is not None and total not in (None, size) else None)


def _whole(headers: Mapping[str, str], size: int | None) -> Judged:
    said = headers.get("Content-Length", "")
    length = int(said) if said.isdecimal() and len(said) <= 18 else None
    if headers.get("Content-Type", "").lower().startswith("text/html") and (length is None or length != size):
        return Judged(Use.PAGE)
    if is_compressed(headers, length, size):
        return Judged(Use.WHOLE, compressed=True)
    # a shorter one may be a part, which goes on when it is asked for the rest
    longer = size is not None and length is not None and length > size
    return Judged(Use.WHOLE, length if longer else None)
