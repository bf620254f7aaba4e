"""Requests and responses as plain values, so that the protocol and the faults need no socket.

A body is a sequence of parts, each some bytes or a section of a file on disk. Ranges and the faults that shorten,
lengthen or change a body use one operation, `take`, and large files are never read into memory.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote


@dataclass(frozen=True, slots=True)
class FilePart:
    """`length` bytes of the file at `path`, from byte `start` on."""

    path: Path
    start: int
    length: int


Body = tuple[bytes | FilePart, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Header names are in lower case; `path` is still percent-encoded, and `query` is the part after the question mark.
    `base` is the origin (and prefix) under which the client reached the fake hub; `storage_base` is the
    origin of the second host, or None where there is none.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    base: str
    storage_base: str | None

    @property
    def plain_path(self) -> str:
        return unquote(self.path)

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. `start` is where in the whole file the body begins (not 0 after a range)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = ()
    start: int = 0


def body_length(body: Body) -> int:
    return sum(len(part) if isinstance(part, bytes) else part.length for part in body)


def take(body: Body, start: int, length: int) -> Body:
    """Return the bytes `start` to `start + length` of a body (fewer where it ends before)."""
    taken: list[bytes | FilePart] = []
    for part in body:
        size = len(part) if isinstance(part, bytes) else part.length
        first, last = min(start, size), min(start + length, size)
        if last > first:
            taken.append(
                part[first:last]
                if isinstance(part, bytes)
                else FilePart(part.path, part.start + first, last - first)
            )
        start, length = max(start - size, 0), length - (last - first)
    return tuple(taken)


def chunks(body: Body, size: int) -> Iterator[bytes]:
    """Yield the bytes of a body, at most `size` at a time."""
    for part in body:
        if isinstance(part, bytes):
            yield from (part[at : at + size] for at in range(0, len(part), size))
            continue
        with part.path.open("rb") as file:
            file.seek(part.start)
            left = part.length
            while left > 0 and (chunk := file.read(min(size, left))):
                left -= len(chunk)
                yield chunk


def json_answer(document: object, headers: Mapping[str, str] | None = None, status: int = 200) -> Answer:
    text = json.dumps(document).encode()
    return Answer(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, (text,))


def error_answer(
    status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return an error in the hub's form: JSON, with the headers that distinguish one 404 from another."""
    named = {"X-Error-Code": code} if code else {}
    return json_answer({"error": message}, {"X-Error-Message": message, **named, **(headers or {})}, status)


def file_answer(request: Request, path: Path, headers: Mapping[str, str]) -> Answer:
    """Return the file, or the one range that was asked for (RFC 9110 section 14; several ranges get the whole)."""
    size = path.stat().st_size
    whole: Body = (FilePart(path, 0, size),)
    kept = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if wanted is None or not any(wanted.groups()):
        return Answer(200, kept, whole)
    if request.headers.get("if-range", headers.get("ETag")) != headers.get("ETag"):
        return Answer(200, kept, whole)
    first, last = wanted.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        return Answer(416, {"Content-Range": f"bytes */{size}"})
    kept["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Answer(206, kept, take(whole, start, stop - start), start)
