"""Faults of a hub, as values, and the list of the pending ones.

| kind | what happens | reads |
| --- | --- | --- |
| `status` | that status instead of the answer | `status`, `error_code`, `retry_after`, `message` |
| `page` | 200 with a page instead of the answer, as a captive portal or proxy does | `body`, `content_type` |
| `redirect-loop` | 302 to the same address | |
| `headers` | the right answer with headers changed; null takes one away | `headers` |
| `delay` | the right answer after `seconds` (null: never) | `seconds` |
| `hang-up` | the connection ends without an answer | |
| `ignore-range` | 200 with the whole file for a range request | |
| `reset` | TCP reset after `after` bytes of the body | `after` |
| `cut` | connection closed after `after` bytes, before the Content-Length is reached | `after` |
| `stall` | silence after `after` bytes for `seconds` (null: until the hub closes), then the rest | `after`, `seconds` |
| `short` | a body, and a Content-Length, of `count` bytes too few | `count` |
| `long` | a body, and a Content-Length, of `count` bytes too many | `count` |
| `wrong-bytes` | one bit of the file's byte `after` is wrong (of a range's first byte if outside) | `after` |
| `slow` | `bytes_per_second` | `bytes_per_second` |

`ignore-range` waits for a request with a range, and those from `reset` on for an answer of 200 or 206 that
has a body (not a HEAD, not a redirect): only such requests count against `times`. Of several faults the
oldest that fits happens.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from .answer import Answer, Request, body_length
from .request_log import Host


class FaultKind(StrEnum):
    STATUS = "status"
    PAGE = "page"
    REDIRECT_LOOP = "redirect-loop"
    HEADERS = "headers"
    DELAY = "delay"
    HANG_UP = "hang-up"
    IGNORE_RANGE = "ignore-range"
    RESET = "reset"
    CUT = "cut"
    STALL = "stall"
    SHORT = "short"
    LONG = "long"
    WRONG_BYTES = "wrong-bytes"
    SLOW = "slow"


_OF_THE_BODY: Final = frozenset(list(FaultKind)[list(FaultKind).index(FaultKind.RESET) :])
_PAGE: Final = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"


class FaultInvalid(ValueError):
    """A fault that was described wrongly, in a call or over HTTP."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; the module's table says which kind reads which of the later fields.

    `path` is a shell pattern for the decoded path; one without `/` is matched with the path's last part
    alone. `times` is how often it happens (None: always), `method` and `host` narrow it down.
    """

    kind: FaultKind
    path: str = "*"
    times: int | None = None
    method: str | None = None
    host: Host | None = None
    status: int = 500
    error_code: str | None = None
    retry_after: int | None = None
    message: str = "a fault of the fake hub"
    body: str = _PAGE
    content_type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str | None] = field(default_factory=dict)
    after: int = 0
    count: int = 1
    seconds: float | None = None
    bytes_per_second: int = 65_536

    def __post_init__(self) -> None:
        if self.kind not in list(FaultKind):
            raise FaultInvalid(f"unknown kind {self.kind!r}; known: {', '.join(FaultKind)}")
        object.__setattr__(self, "kind", FaultKind(self.kind))
        if self.times is not None and self.times < 1:
            raise FaultInvalid("times must be 1 or more, or null")
        if self.after < 0 or self.count < 1 or self.bytes_per_second < 1:
            raise FaultInvalid("after must be 0 or more, count and bytes_per_second 1 or more")

    def fits(self, host: Host, request: Request, answer: Answer) -> bool:
        """Whether it could happen to this request, which would otherwise get this answer."""
        path = (
            request.plain_path
            if "/" in self.path or self.path == "*"
            else request.plain_path.rpartition("/")[2]
        )
        if not fnmatchcase(path, self.path) or self.method not in (None, request.method):
            return False
        if self.host not in (None, host):
            return False
        if self.kind is FaultKind.IGNORE_RANGE:
            return "range" in request.headers
        if self.kind in _OF_THE_BODY:
            return answer.status in (200, 206) and request.method != "HEAD" and body_length(answer.body) > 0
        return True


def fault_from_json(document: object) -> Fault:
    """Return a fault from an object whose keys are the fields of `Fault`.

    Raises:
        FaultInvalid: a key that is not a field, no kind, or a value that does not fit.
    """
    if not isinstance(document, dict):
        raise FaultInvalid("a fault is a JSON object")
    unknown = document.keys() - {field.name for field in fields(Fault)}
    if unknown:
        raise FaultInvalid(f"unknown keys: {', '.join(sorted(unknown))}")
    try:
        return Fault(**document)
    except TypeError as error:
        raise FaultInvalid(str(error)) from error


class Faults:
    """The faults that are to happen, oldest first. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fault, int | None]] = []

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._waiting += [(fault, fault.times) for fault in faults]

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> tuple[tuple[Fault, int | None], ...]:
        """Those still to happen, and how often."""
        with self._lock:
            return tuple(self._waiting)

    def take(self, host: Host, request: Request, answer: Answer) -> Fault | None:
        """Return the fault for this request and count it."""
        with self._lock:
            for index, (fault, left) in enumerate(self._waiting):
                if fault.fits(host, request, answer):
                    if left == 1:
                        del self._waiting[index]
                    elif left is not None:
                        self._waiting[index] = (fault, left - 1)
                    return fault
        return None
