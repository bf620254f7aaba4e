"""Asks for a body's pieces until they are there: goes on after what breaks, and copes with servers without ranges.

A hub redirects to where the bytes are, often to an address that is signed for a while. It is asked once a body; as soon
as anything goes wrong there, the hub is asked anew.

What an answer to the request for a body, or for a range of one, is good for: judged before it is read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import httpx2

from cache_warmer.artifacts.artifact import Download, Progress
from cache_warmer.errors import HubBusy, HubError
from cache_warmer.hub import errors
from cache_warmer.hub.http_client import ONE_TRY
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.partial_file import GrowingFile
from cache_warmer.transfer.reading import batches


class Use(Enum):
    """What to do with an answer."""

    # Its body is what was asked for, from the first byte asked for on.
    RANGE = auto()
    # Its body is the whole, from zero on: the server ignores ranges, or was asked for all.
    WHOLE = auto()
    # Of no use: another range, or a refusal of ranges. Ask for the whole.
    NO_RANGES = auto()
    # No body; the status says why.
    REFUSED = auto()
    # A proxy's or portal's page of HTML.
    PAGE = auto()


@dataclass(frozen=True, slots=True)
class ResponseVerdict:
    """What an answer is good for.

    Attributes:
        use: of its body.
        other_size: of the whole, as the answer names it, if it names one that is not the promised one.
        compressed: the body is to be decompressed; only of a `WHOLE`.
    """

    use: Use
    other_size: int | None = None
    compressed: bool = False


_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def range_header(start: int, end: int | None, size: int | None) -> str | None:
    """Return the header to ask for these bytes of a body of that size; None: ask without one."""
    if end is None or end == size:
        return f"bytes={start}-" if start else None
    return f"bytes={start}-{end - 1}"


def judge(
    status: int, headers: Mapping[str, str], start: int, size: int | None, *, ranged: bool
) -> ResponseVerdict:
    """Judge the answer to a request for the bytes from `start` on of a body of that size (None: not known).

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
        return ResponseVerdict(Use.NO_RANGES)
    return ResponseVerdict(Use.REFUSED)


def is_compressed(headers: Mapping[str, str], length: int | None, size: int | None) -> bool:
    """Return whether a body of that length is a compressed form of what must have that size.

    None is asked for, and some servers send one all the same. One of the right length is the file itself, which
    was compressed when it was stored.
    """
    coding = headers.get("Content-Encoding", "").strip().lower()
    return coding not in ("", "identity") and (length is None or length != size)


def _partial(headers: Mapping[str, str], start: int, size: int | None) -> ResponseVerdict:
    match = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != start:
        return ResponseVerdict(Use.NO_RANGES)
    total = None if match[3] == "*" else int(match[3])
    if is_compressed(headers, total, size):
        return ResponseVerdict(Use.NO_RANGES)  # the bytes are counted in the compressed form
    return ResponseVerdict(Use.RANGE, total if size is not None and total not in (None, size) else None)


def _whole(headers: Mapping[str, str], size: int | None) -> ResponseVerdict:
    said = headers.get("Content-Length", "")
    length = int(said) if said.isdecimal() and len(said) <= 18 else None
    if headers.get("Content-Type", "").lower().startswith("text/html") and (length is None or length != size):
        return ResponseVerdict(Use.PAGE)
    if is_compressed(headers, length, size):
        return ResponseVerdict(Use.WHOLE, compressed=True)
    # a shorter one may be a part, which goes on when it is asked for the rest
    longer = size is not None and length is not None and length > size
    return ResponseVerdict(Use.WHOLE, length if longer else None)


# Bytes beyond the furthest so far that count as progress, which resets the count of failures.
_PROGRESS: Final = 1 << 20
_OF_USE: Final = frozenset({200, 206, 416})


class WrongSize(Exception):
    """The server's body is of another size than what was promised."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `start` to before `end` (None: the server knows), of one epoch of the growing file."""

    epoch: int
    start: int
    end: int | None


class Requests:
    """The requests for one body. `fetch` may be called by several threads."""

    def __init__(self, http: httpx2.Client, retry: Retry, download: Download, received: Progress) -> None:
        self._http, self.retry, self.download, self.received = http, retry, download, received
        self._address: str | None = None
        self._ranges = True

    def fetch(self, piece: ByteRange, file: GrowingFile) -> None:
        """Fetch a piece into the file; return when it is there, or when its epoch is over.

        A server without ranges makes it the whole body, in a new epoch.

        Raises `HubError`, `WrongSize`, `OSError`.
        """
        _Fetch(self, piece, file).run()

    def send(self, start: int, end: int | None) -> tuple[httpx2.Response, bool]:
        """Return the answer, and whether a range was asked for. Raises `HubError`."""
        wanted = range_header(start, end, self.download.expected.bytes) if self._ranges else None
        response = self._at_address(wanted)
        if response is None:
            response = self._send(self.download.url, wanted, one_try=False)
            if response.status_code in _OF_USE and response.history:
                self._address = str(response.url)
        return response, wanted is not None

    def forget_address(self) -> None:
        """Ask the hub again where the bytes are."""
        self._address = None

    def refuse_ranges(self) -> None:
        """Ask for the whole from now on, and ask the hub where it is."""
        self._ranges, self._address = False, None

    def _at_address(self, wanted: str | None) -> httpx2.Response | None:
        """Ask where the hub sent us before; None if that is not known, or does not serve us any more."""
        address, pause = self._address, 0.0
        if address is None:
            return None
        try:
            response = self._send(address, wanted, one_try=True)
            if response.status_code in _OF_USE:
                return response
            response.close()  # a signature that has run out: the hub has a new one
        except HubError as error:
            pause = self.retry.delay(1)
            if isinstance(error, HubBusy) and error.retry_after is not None:
                if error.retry_after > self.retry.patience:
                    raise errors.waits_too_long(self.download.label, error.retry_after) from error
                pause = max(pause, error.retry_after)
        self.forget_address()
        self.retry.sleep(pause)
        return None

    def _send(self, url: str, wanted: str | None, *, one_try: bool) -> httpx2.Response:
        headers = {**self.download.headers, "Accept-Encoding": "identity"}
        if wanted is not None:
            headers["Range"] = wanted
        extensions = {"label": self.download.label, ONE_TRY: one_try}
        request = self._http.build_request("GET", url, headers=headers, extensions=extensions)
        return self._http.send(request, stream=True)


class _Fetch:
    """One piece on its way."""

    def __init__(self, requests: Requests, piece: ByteRange, file: GrowingFile) -> None:
        self._requests, self._file = requests, file
        self._size = requests.download.expected.bytes
        self._epoch, self._at, self._end = piece.epoch, piece.start, piece.end
        self._furthest = piece.start
        self._over = False

    def run(self) -> None:
        failures = 0
        while not self._over and self._at != self._end:
            before, broken = self._furthest, None
            try:
                ended = self._ask()
            except httpx2.RequestError as error:
                ended, broken = False, error
            if ended and (self._at <= before or self._end is None):
                return self._demand_end()  # nothing more to be had
            if not ended and not self._over:
                failures = 1 if self._furthest - before >= _PROGRESS else failures + 1
                self._wait(failures, broken)
        return None

    def _wait(self, failures: int, broken: httpx2.RequestError | None) -> None:
        """Wait before the next try, or raise what went wrong if there is none."""
        retry, label = self._requests.retry, self._requests.download.label
        if broken is not None and (failures >= retry.attempts or not errors.can_retry(broken)):
            raise errors.of_exception(broken, label) or broken from broken
        self._requests.forget_address()
        retry.sleep(retry.delay(failures))

    def _demand_end(self) -> None:
        if self._end is not None and self._at != self._end and not self._over:
            raise WrongSize(f"{self._at} bytes instead of {self._size}")

    def _ask(self) -> bool:
        """Ask once for the rest and write it. Returns whether the answer ended as the server meant it to."""
        response, ranged = self._requests.send(self._at, self._end)
        try:
            judged = judge(response.status_code, response.headers, self._at, self._size, ranged=ranged)
            if judged.other_size is not None:
                raise WrongSize(f"{judged.other_size} bytes instead of {self._size}")
            if judged.use is Use.REFUSED:
                raise errors.of_status(response, self._requests.download.label)
            if judged.use is Use.PAGE:
                raise errors.page(self._requests.download.label, str(response.url))
            if judged.use is Use.NO_RANGES:
                self._requests.refuse_ranges()
                self._become_whole()
                return False
            if judged.use is Use.WHOLE and (self._at or self._end != self._size):
                self._become_whole()
            return self._over or self._read(response, judged.compressed)
        finally:
            response.close()

    def _become_whole(self) -> None:
        """Take the body over from its first byte on, unless another piece has done so."""
        epoch = self._file.restart(self._epoch)
        if epoch is None:
            self._over = True
        else:
            self._epoch, self._at, self._end = epoch, 0, self._size

    def _read(self, response: httpx2.Response, compressed: bool) -> bool:
        """Write the body to its place as it comes in. Returns True: it ended."""
        for batch in batches(response, compressed=compressed):
            chunks, collected = list(batch), sum(map(len, batch))
            self._requests.received(collected)
            room = collected if self._end is None else self._end - self._at
            if collected > room and self._end == self._size:
                raise WrongSize(f"more than {self._size} bytes")
            if collected > room:
                chunks = [memoryview(b"".join(chunks))[:room]]
            self._write(chunks, min(collected, room))
            if self._over or self._at == self._end != self._size:
                break  # a server may send more than the range: what follows is another piece's
        return True

    def _write(self, chunks: Sequence[bytes | memoryview], count: int) -> None:
        if not count or self._over:
            return
        self._over = not self._file.write(self._epoch, self._at, chunks)
        if not self._over:
            self._at += count
            self._furthest = max(self._furthest, self._at)
