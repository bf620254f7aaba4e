"""Fetches one body into a staging file: resumable by a later process, verified, never under its final name.

The bytes go straight to disk, so that a killed run loses nothing; the hash grows beside them. A resumed
prefix is read once more, because only what was hashed in this run is trusted. What counts is the expected
hash, not an ETag or an address: those of a redirect target change between runs.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from cache_warmer.artifacts.artifact import Download, Expected, Progress, Staged
from cache_warmer.disk import durable
from cache_warmer.errors import ContentMismatch, LeaseLost
from cache_warmer.hub import refusals
from cache_warmer.hub.addresses import shown
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.hashing import CHUNK, ContentHash, difference
from cache_warmer.transfer.staging import is_still_there, staging_file

_PROGRESS = 1 << 20
"""Bytes that must arrive for a broken body to count as progress, which resets the count of failures."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Fetches bodies with one client; each ``fetch`` may run in a thread of its own."""

    http: httpx2.Client
    retry: Retry
    keep_going: Callable[[], None]
    """Called at every chunk; raises when the run shall stop."""

    def fetch(self, download: Download, progress: Progress, received: Progress) -> Staged:
        """Return the verified body.

        Args:
            download: what to fetch.
            progress: told of bytes done, those of an earlier run included; negative when they are dropped.
            received: told of bytes that came over the network.

        Raises:
            HubError: it cannot be had, or arrived wrong twice (``ContentMismatch`` with both hashes).
            LeaseLost: another writer took the staging file over.
            OSError: the disk.
        """
        with staging_file(download.staging) as descriptor:
            body = _Body(download, descriptor, (progress, received), self.keep_going)
            body.read_prefix()
            wrong = self._complete(body)
            if wrong:
                body.restart()
                wrong = self._complete(body)
            if wrong:
                os.ftruncate(descriptor, 0)  # bad bytes are no prefix to resume from
                raise _mismatch(download, wrong)
            durable.readable_by_all(descriptor, download.staging.parent)
            os.fsync(descriptor)
            if not is_still_there(descriptor, download.staging):
                raise LeaseLost(
                    f"{download.label}: another writer replaced {download.staging}",
                    "run one warmer at a time; run the same command again to see what is left to do",
                )
            return Staged(download.staging, body.size, body.sha256())

    def _complete(self, body: "_Body") -> str:
        """Fetch what is missing; return how the body differs from what was expected, or an empty string."""
        failures = 0
        while not body.is_whole():
            before, broken = body.size, None
            try:
                ended = self._request(body)
            except httpx2.RequestError as error:
                ended, broken = False, error
            if ended and (body.size == before or body.download.expected.bytes is None):
                break  # nothing more to be had
            if ended:
                continue
            failures = 1 if body.size - before >= _PROGRESS else failures + 1
            if failures >= self.retry.attempts or (broken and not refusals.can_retry(broken)):
                if broken is None:
                    break
                raise refusals.of_exception(broken, body.download.label) or broken from broken
            self.retry.sleep(self.retry.delay(failures))
        return body.difference()

    def _request(self, body: "_Body") -> bool:
        """Ask once for the rest and write it. Returns whether the body ended as the server meant it to."""
        download = body.download
        headers = {**download.headers, "Accept-Encoding": "identity"}
        if body.size:
            headers["Range"] = f"bytes={body.size}-"
        request = self.http.build_request(
            "GET", download.url, headers=headers, extensions={"label": download.label}
        )
        response = self.http.send(request, stream=True)
        try:
            if response.status_code == 416:
                body.restart()
                return False
            if response.status_code not in (200, 206):
                raise refusals.of_status(response, download.label)
            if _is_page(response, download.expected):
                raise refusals.page(download.label, str(response.url))
            if body.size and not _continues(response, body.size):
                body.restart()  # the range was ignored: what comes is the whole
            for chunk in response.iter_raw():  # as it arrives: a stall must not lose what was collected
                body.write(chunk)
                if body.is_too_long():
                    break
            return True
        finally:
            response.close()


class _Body:
    """A staging file as it grows, and the hash of what is in it."""

    def __init__(
        self,
        download: Download,
        descriptor: int,
        told: tuple[Progress, Progress],
        keep_going: Callable[[], None],
    ) -> None:
        self.download, self.size = download, 0
        self._progress, self._received = told
        self._descriptor, self._keep_going = descriptor, keep_going
        self._hash = ContentHash(download.expected.bytes)

    def read_prefix(self) -> None:
        """Hash what an earlier run left."""
        staged = os.fstat(self._descriptor).st_size
        expected = self.download.expected.bytes
        if expected is not None and staged > expected:
            os.ftruncate(self._descriptor, 0)
        while chunk := os.read(self._descriptor, CHUNK):
            self._take(chunk)

    def write(self, chunk: bytes) -> None:
        """Append to file and hash."""
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._received(len(chunk))
        self._take(chunk)

    def restart(self) -> None:
        """Forget everything: the next request asks for the whole."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._progress(-self.size)
        self.size, self._hash = 0, ContentHash(self.download.expected.bytes)

    def is_whole(self) -> bool:
        """Return whether as many bytes are there as must be (or more)."""
        expected = self.download.expected.bytes
        return expected is not None and self.size >= expected

    def is_too_long(self) -> bool:
        """Return whether more bytes are there than must be."""
        expected = self.download.expected.bytes
        return expected is not None and self.size > expected

    def sha256(self) -> str:
        """Return the sha256 of what is there."""
        return self._hash.sha256()

    def difference(self) -> str:
        """Return how it differs from what was expected; empty if it does not."""
        return difference(self.download.expected, self.size, self._hash.sha256(), self._hash.git_sha1())

    def _take(self, chunk: bytes) -> None:
        self._keep_going()
        self._hash.update(chunk)
        self.size += len(chunk)
        self._progress(len(chunk))


def _continues(response: httpx2.Response, size: int) -> bool:
    header = response.headers.get("Content-Range", "")
    return response.status_code == 206 and header.startswith(f"bytes {size}-")


def _is_page(response: httpx2.Response, expected: Expected) -> bool:
    """A proxy's or portal's page: HTML of another length than the file."""
    html = response.headers.get("Content-Type", "").lower().startswith("text/html")
    length = response.headers.get("Content-Length")
    return html and response.status_code == 200 and length != str(expected.bytes)


def _mismatch(download: Download, wrong: str) -> ContentMismatch:
    return ContentMismatch(
        f"{download.label}: {shown(download.url)} sent {wrong} (as the {download.expected.said_by} says), twice",
        "compare the pin in the catalog and its lock with the source; a mirror or proxy may hold a damaged copy",
    )
