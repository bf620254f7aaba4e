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
    """The use, and the size of the whole that the answer names, if it names one that is not the promised one."""

    use: Use
    other_size: int | None = None


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
        return _partial(headers.get("Content-Range", ""), start, size)
    if status == 200:
        return _whole(headers, size)
    if status == 416 and ranged:
        return Judged(Use.NO_RANGES)
    return Judged(Use.REFUSED)


def _partial(said: str, start: int, size: int | None) -> Judged:
    match = _RANGE.fullmatch(said.strip())
    if match is None or int(match[1]) != start:
        return Judged(Use.NO_RANGES)
    if size is not None and match[3] != "*" and int(match[3]) != size:
        return Judged(Use.RANGE, int(match[3]))
    return Judged(Use.RANGE)


def _whole(headers: Mapping[str, str], size: int | None) -> Judged:
    said = headers.get("Content-Length", "")
    length = int(said) if said.isdecimal() and len(said) <= 18 else None
    if headers.get("Content-Type", "").lower().startswith("text/html") and (length is None or length != size):
        return Judged(Use.PAGE)
    # a shorter one may be a part, which goes on when it is asked for the rest
    longer = size is not None and length is not None and length > size
    return Judged(Use.WHOLE, length if longer else None)
