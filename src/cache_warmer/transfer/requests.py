"""Asks for a body's pieces until they are there: goes on after what breaks, and copes with servers without ranges.

A hub redirects to where the bytes are, often to an address that is signed for a while. It is asked once a body; as soon
as anything goes wrong there, the hub is asked anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx2

from cache_warmer.artifacts.artifact import Download, Progress
from cache_warmer.errors import HubBusy, HubError
from cache_warmer.hub import refusals
from cache_warmer.hub.http_client import ONE_TRY
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.answers import Use, judge, range_header
from cache_warmer.transfer.growing_file import GrowingFile
from cache_warmer.transfer.reading import batches

_PROGRESS = 1 << 20
"""Bytes beyond the furthest so far that count as progress, which resets the count of failures."""
_OF_USE = frozenset({200, 206, 416})


class WrongSize(Exception):
    """The server's body is of another size than what was promised."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes from ``start`` to before ``end`` (None: the server knows), of one epoch of the growing file."""

    epoch: int
    start: int
    end: int | None


class Requests:
    """The requests for one body. ``fetch`` may be called by several threads."""

    def __init__(self, http: httpx2.Client, retry: Retry, download: Download, received: Progress) -> None:
        self._http, self.retry, self.download, self.received = http, retry, download, received
        self._address: str | None = None
        self._ranges = True

    def fetch(self, piece: Piece, file: GrowingFile) -> None:
        """Fetch a piece into the file; return when it is there, or when its epoch is over.

        A server without ranges makes it the whole body, in a new epoch.

        Raises ``HubError``, ``WrongSize``, ``OSError``.
        """
        _Fetch(self, piece, file).run()

    def send(self, start: int, end: int | None) -> tuple[httpx2.Response, bool]:
        """Return the answer, and whether a range was asked for. Raises ``HubError``."""
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
                    raise refusals.waits_too_long(self.download.label, error.retry_after) from error
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

    def __init__(self, requests: Requests, piece: Piece, file: GrowingFile) -> None:
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
        if broken is not None and (failures >= retry.attempts or not refusals.can_retry(broken)):
            raise refusals.of_exception(broken, label) or broken from broken
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
                raise refusals.of_status(response, self._requests.download.label)
            if judged.use is Use.PAGE:
                raise refusals.page(self._requests.download.label, str(response.url))
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
