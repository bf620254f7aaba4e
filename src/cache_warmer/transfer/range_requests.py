"""HTTP range requests for one body: resumed after failures, with a fallback for servers without ranges.

`RangeRequests` holds what the requests for one body share: the address that the hub redirected to and whether the
server honours ranges. `fetch` is called by several threads of the pool, one per range; the shared values are single
assignments, and a thread that reads an old one sends at most one request in vain.

* Redirects: the hub redirects to the storage that has the bytes, often with a signature that expires. The hub is
  asked once per body and its redirect is reused. As soon as anything goes wrong there, the hub is asked again.
* Failures: the HTTP client retries until a response begins (`hub.http_client`). A response that breaks off is
  continued here, from the first byte that is missing. Whatever makes a response useless counts as a failure.
  Progress resets the count, so only requests that bring nothing new end the run.
* Servers without ranges, or with wrong ones: the first thread that notices restarts the file in a new epoch and
  fetches the whole body; the ranges of the former epoch end without an error.
* Compression: requests ask for none. A server that compresses all the same is asked for the whole body, which is
  decompressed, because its ranges count bytes of the compressed form.

Whether a response can be used is decided from its status and headers (`classify_response`) before its body is read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import httpx2

from cache_warmer.errors import HubBusy, HubError
from cache_warmer.hub import errors
from cache_warmer.hub.bodies import content_length, is_compressed
from cache_warmer.hub.http_client import ONE_TRY
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.download import Download, ProgressCallback
from cache_warmer.transfer.partial_file import PartialFile

# Bytes beyond the furthest so far that count as progress, which resets the count of failures.
_PROGRESS_BYTES: Final = 1 << 20
# Statuses after which a redirect's target is used again: a body, a range, or a refusal of ranges.
_USABLE_STATUSES: Final = frozenset({200, 206, 416})
# RFC 9110, section 14.4; at most 18 digits, so that the numbers fit into 64 bits.
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class SizeMismatch(Exception):
    """The body that the server sends has another size than what was promised."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `start` to before `end`, in one epoch of the partial file; `end` None means up to the last one."""

    epoch: int
    start: int
    end: int | None


class BodyUse(Enum):
    """How the body of a response can be used."""

    # It is what was requested, from the first requested byte on.
    RANGE = auto()
    # It is the whole body from byte zero: the server ignores ranges, or none was requested.
    WHOLE = auto()
    # It is of no use: another range, or a refusal of ranges. Request the whole body.
    NO_RANGES = auto()
    # The status is an error.
    REFUSED = auto()
    # It is an HTML page of a proxy or a captive portal.
    HTML_PAGE = auto()


@dataclass(frozen=True, slots=True)
class ResponseVerdict:
    """Verdict on a response.

    Attributes:
        use: how its body can be used.
        other_size: size of the whole body according to the response, if that is not the promised one.
        compressed: whether the body must be decompressed; only with `WHOLE`.
    """

    use: BodyUse
    other_size: int | None = None
    compressed: bool = False


class RangeRequests:
    """The requests for one body. `fetch` may be called by several threads."""

    def __init__(
        self, http: httpx2.Client, retry: Retry, download: Download, on_received: ProgressCallback
    ) -> None:
        self._http, self.retry, self.download, self.on_received = http, retry, download, on_received
        # Where the hub redirected to; None if that is not known.
        self._address: str | None = None
        self._use_ranges = True

    def fetch(self, byte_range: ByteRange, file: PartialFile) -> None:
        """Fetch a range into the file; return when it is there, or when its epoch is over.

        If the server has no ranges, the whole body is fetched instead, in a new epoch.

        Raises:
            HubError: the range cannot be had.
            SizeMismatch: the server's body has another size than what was promised.
            OSError: the disk fails or is full.
        """
        _RangeFetch(self, byte_range, file).run()

    def send(self, start: int, end: int | None) -> tuple[httpx2.Response, bool]:
        """Request the bytes from `start` to before `end`.

        Returns:
            The response, whose body is not read yet, and whether a range was requested.

        Raises:
            HubError: no response came.
        """
        header = range_header(start, end, self.download.expected.bytes) if self._use_ranges else None
        response = self._send_to_known_address(header)
        if response is None:
            response = self._send(self.download.url, header, one_try=False)
            if response.status_code in _USABLE_STATUSES and response.history:
                self._address = str(response.url)
        return response, header is not None

    def forget_address(self) -> None:
        """Ask the hub for the address with the next request."""
        self._address = None

    def disable_ranges(self) -> None:
        """Request the whole body from now on, and ask the hub for its address."""
        self._use_ranges, self._address = False, None

    def _send_to_known_address(self, header: str | None) -> httpx2.Response | None:
        """Send to the address of a former redirect; None if there is none or it serves no more."""
        address, pause = self._address, 0.0
        if address is None:
            return None
        try:
            response = self._send(address, header, one_try=True)
            if response.status_code in _USABLE_STATUSES:
                return response
            response.close()  # an expired signature: the hub issues a new one
        except HubError as error:
            pause = self.retry.delay(1)
            if isinstance(error, HubBusy) and error.retry_after is not None:
                if error.retry_after > self.retry.max_retry_after:
                    raise errors.retry_after_too_long(self.download.label, error.retry_after) from error
                pause = max(pause, error.retry_after)
        self.forget_address()
        self.retry.sleep(pause)
        return None

    def _send(self, url: str, header: str | None, *, one_try: bool) -> httpx2.Response:
        headers = {**self.download.headers, "Accept-Encoding": "identity"}
        if header is not None:
            headers["Range"] = header
        extensions = {"label": self.download.label, ONE_TRY: one_try}
        request = self._http.build_request("GET", url, headers=headers, extensions=extensions)
        return self._http.send(request, stream=True)


def range_header(start: int, end: int | None, size: int | None) -> str | None:
    """Return the `Range` header for these bytes of a body of `size` bytes; None to request all of it."""
    if end is None or end == size:
        return f"bytes={start}-" if start else None
    return f"bytes={start}-{end - 1}"


def classify_response(
    status: int, headers: Mapping[str, str], start: int, size: int | None, *, ranged: bool
) -> ResponseVerdict:
    """Decide how the response to a request for a body, or for its bytes from `start` on, can be used.

    Args:
        status: of the response.
        headers: of the response; a mapping that ignores the case of names.
        start: the first requested byte.
        size: bytes that the body must have; None if not known.
        ranged: whether the request had a `Range` header.
    """
    if status == 206:
        return _classify_partial(headers, start, size)
    if status == 200:
        return _classify_whole(headers, size)
    if status == 416 and ranged:
        return ResponseVerdict(BodyUse.NO_RANGES)
    return ResponseVerdict(BodyUse.REFUSED)


def _classify_partial(headers: Mapping[str, str], start: int, size: int | None) -> ResponseVerdict:
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != start:
        return ResponseVerdict(BodyUse.NO_RANGES)
    total = None if match[3] == "*" else int(match[3])
    if is_compressed(headers, total, size):
        return ResponseVerdict(BodyUse.NO_RANGES)  # the range counts bytes of the compressed form
    other_size = total if size is not None and total not in (None, size) else None
    return ResponseVerdict(BodyUse.RANGE, other_size)


def _classify_whole(headers: Mapping[str, str], size: int | None) -> ResponseVerdict:
    length = content_length(headers)
    is_html = headers.get("Content-Type", "").lower().startswith("text/html")
    if is_html and (length is None or length != size):
        return ResponseVerdict(BodyUse.HTML_PAGE)
    if is_compressed(headers, length, size):
        return ResponseVerdict(BodyUse.WHOLE, compressed=True)
    # a shorter body may be a part, which is continued by another request
    longer = size is not None and length is not None and length > size
    return ResponseVerdict(BodyUse.WHOLE, length if longer else None)


class _RangeFetch:
    """The download of one range, over as many requests as it takes. Runs in one thread of the pool."""

    def __init__(self, requests: RangeRequests, byte_range: ByteRange, file: PartialFile) -> None:
        self._requests, self._file = requests, file
        self._size = requests.download.expected.bytes
        self._epoch, self._end = byte_range.epoch, byte_range.end
        # Offset of the next byte, and the largest one so far: the fallback to the whole body starts at zero again.
        self._at = self._furthest = byte_range.start
        self._epoch_over = False

    def run(self) -> None:
        failures = 0
        while not self._epoch_over and self._at != self._end:
            before, broken = self._furthest, None
            try:
                ended = self._request_rest()
            except httpx2.RequestError as error:
                ended, broken = False, error
            if ended and (self._at <= before or self._end is None):
                return self._require_end()  # the server has nothing more
            if not ended and not self._epoch_over:
                failures = 1 if self._furthest - before >= _PROGRESS_BYTES else failures + 1
                self._wait(failures, broken)
        return None

    def _wait(self, failures: int, broken: httpx2.RequestError | None) -> None:
        """Wait before the next request, or raise the failure if there is no next one."""
        retry, label = self._requests.retry, self._requests.download.label
        if broken is not None and (failures >= retry.attempts or not errors.is_retryable(broken)):
            raise errors.from_exception(broken, label) or broken from broken
        if failures >= retry.attempts:
            raise errors.useless_responses(label, self._requests.download.url, failures)
        self._requests.forget_address()
        retry.sleep(retry.delay(failures))

    def _require_end(self) -> None:
        if self._end is not None and self._at != self._end and not self._epoch_over:
            raise SizeMismatch(f"{self._at} bytes instead of {self._size}")

    def _request_rest(self) -> bool:
        """Request the missing bytes once and write what comes.

        Returns:
            Whether the response was used and ended regularly.
        """
        response, ranged = self._requests.send(self._at, self._end)
        try:
            verdict = classify_response(
                response.status_code, response.headers, self._at, self._size, ranged=ranged
            )
            if verdict.other_size is not None:
                raise SizeMismatch(f"{verdict.other_size} bytes instead of {self._size}")
            if verdict.use is BodyUse.REFUSED:
                raise errors.from_status(response, self._requests.download.label)
            if verdict.use is BodyUse.HTML_PAGE:
                raise errors.html_page(self._requests.download.label, str(response.url))
            if verdict.use is BodyUse.NO_RANGES:
                self._requests.disable_ranges()
                self._switch_to_whole()
                return False
            if verdict.use is BodyUse.WHOLE and (self._at or self._end != self._size):
                self._switch_to_whole()
            return self._epoch_over or self._read(response, verdict.compressed)
        finally:
            response.close()

    def _switch_to_whole(self) -> None:
        """Fetch the body from its first byte on, unless another range's thread does so already."""
        epoch = self._file.restart(self._epoch)
        if epoch is None:
            self._epoch_over = True
        else:
            self._epoch, self._at, self._end = epoch, 0, self._size

    def _read(self, response: httpx2.Response, compressed: bool) -> bool:
        """Write the body at its offset, chunk by chunk as it arrives.

        Returns:
            True: the response ended regularly.

        Raises:
            httpx2.RequestError: it broke off; what came before is written.
        """
        for chunk in response.iter_bytes() if compressed else response.iter_raw():
            self._requests.on_received(len(chunk))
            wanted = len(chunk) if self._end is None else self._end - self._at
            if len(chunk) > wanted and self._end == self._size:
                raise SizeMismatch(f"more than {self._size} bytes")
            self._write(memoryview(chunk)[:wanted])
            if self._epoch_over or self._at == self._end != self._size:
                break  # a server may send more than the range: the rest belongs to another range
        return True

    def _write(self, chunk: memoryview) -> None:
        if not chunk or self._epoch_over:
            return
        self._epoch_over = not self._file.write(self._epoch, self._at, chunk)
        if not self._epoch_over:
            self._at += len(chunk)
            self._furthest = max(self._furthest, self._at)
