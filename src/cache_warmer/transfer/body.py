"""Fetches one body into a staging file: in ranges side by side if it is big, resumable by a later process, verified.

Ranges are handed out from the front, a few at a time, so that the part without holes grows with the transfer and its
hash with it. What counts in the end is the expected hash, not an ETag or an address: those of a redirect's target
change between runs. A body that is wrong is fetched once more, whole and in one stream, because what damages ranges
may leave that alone; its bytes are no beginning to go on from, and what is wrong twice is put aside.
"""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import httpx2

from cache_warmer.artifacts.artifact import Download, Progress, Staged
from cache_warmer.errors import ContentMismatch, Interrupted, LeaseLost
from cache_warmer.hub.retry import Retry
from cache_warmer.hub.urls import redacted
from cache_warmer.transfer.hashing import difference
from cache_warmer.transfer.partial_file import GrowingFile
from cache_warmer.transfer.pool import StepResult
from cache_warmer.transfer.range_requests import ByteRange, Requests, WrongSize
from cache_warmer.transfer.staging import is_still_there, quarantine, staging_file

_Result = TypeVar("_Result")
# Of one body: what one connection's share of a line is small against, and no hub minds.
RANGES_AT_ONCE: Final = 8
# Bytes from which on a body comes in ranges.
SPLIT_ABOVE: Final = 32 << 20
# Limits of a range: large against a request's cost, small against what waits to be hashed.
_SMALLEST_RANGE, _LARGEST_RANGE = 16 << 20, 64 << 20
# As many ranges a body has, within these limits.
_RANGES: Final = 32


@dataclass(frozen=True, slots=True)
class Transfer:
    """Makes bodies that are fetched with one client.

    Attributes:
        http, retry: the client, and the limits of what is tried again.
        keep_going: called at every chunk; raises when the run shall stop.
    """

    http: httpx2.Client
    retry: Retry
    keep_going: Callable[[], None]

    def body(
        self,
        download: Download,
        progress: Progress,
        resumed: Progress,
        received: Progress,
        working: Callable[[], AbstractContextManager[None]],
        accept: Callable[[Staged], _Result],
    ) -> "Body[_Result]":
        """Return the job of fetching a body.

        Args:
            download: what to fetch.
            progress: told of bytes done; negative when they are dropped.
            resumed: told of bytes that an earlier run left.
            received: told of bytes that came over the network.
            working: spans the work; an error leaves it if the work is given up.
            accept: called once with the verified body, in a thread of the pool.
        """
        requests = Requests(self.http, self.retry, download, received)
        return Body(download, requests, progress, resumed, working, self.keep_going, accept)


class Body(Generic[_Result]):
    """One body as a job of the pool.

    The steps raise `HubError` if it cannot be had or arrived wrong twice (`ContentMismatch` with both hashes),
    `LeaseLost` if another writer took the staging file over, `OSError` for the disk.
    """

    def __init__(
        self,
        download: Download,
        requests: Requests,
        progress: Progress,
        resumed: Progress,
        working: Callable[[], AbstractContextManager[None]],
        keep_going: Callable[[], None],
        accept: Callable[[Staged], _Result],
    ) -> None:
        self._download, self._requests = download, requests
        self._progress, self._resumed, self._working = progress, resumed, working
        self._keep_going, self._accept = keep_going, accept
        self._open = ExitStack()
        self._file: GrowingFile | None = None
        self._descriptor = -1
        self._begun = self._concluding = self._again = self._made = False
        self._pieces: deque[ByteRange] = deque()
        self._wrong = ""

    def next_step(self, running: int) -> Callable[[], StepResult[_Result] | None] | None:
        """Return the next range, or what comes before and after them."""
        if not self._begun:
            self._begun = True
            return self._named(self._begin)
        file = self._file
        if file is None or self._concluding:
            return None
        while self._pieces and self._pieces[0].epoch != file.epoch:
            self._pieces.popleft()  # of an attempt that is over
        if self._pieces and running < RANGES_AT_ONCE:
            piece = self._pieces.popleft()
            return self._named(lambda: self._fetch(piece))
        if not self._pieces and not running:
            self._concluding = True
            return self._named(self._conclude)
        return None

    def close(self) -> None:
        """Let go of the file, which stays for the next run. Idempotent."""
        if self._file is not None and not self._file.close():
            return
        if self._made:
            self._open.close()
        else:  # whoever counts the work sees that it was given up
            self._open.__exit__(Interrupted, Interrupted(), None)

    def _named(
        self, step: Callable[[], StepResult[_Result] | None]
    ) -> Callable[[], StepResult[_Result] | None]:
        """Let an error of the disk say which file it is about: a write to an open file does not."""

        def run() -> StepResult[_Result] | None:
            try:
                return step()
            except OSError as error:
                if error.filename is None:
                    error.filename = str(self._download.staging)
                raise

        return run

    def _begin(self) -> None:
        download = self._download
        self._open.enter_context(self._working())
        self._descriptor = self._open.enter_context(staging_file(download.staging))
        size = download.expected.bytes
        big = size is not None and size > SPLIT_ABOVE
        file = GrowingFile(
            self._descriptor, download.staging, download.expected, self._progress, self._keep_going, big=big
        )
        self._resumed(file.received)
        self._pieces = deque(_pieces(file, size))
        self._file = file

    def _fetch(self, piece: ByteRange) -> None:
        file = self._file
        assert file is not None  # pieces are of an open file
        try:
            self._requests.fetch(piece, file)
        except WrongSize as error:
            self._wrong = self._wrong or str(error)
            file.restart(file.epoch)

    def _conclude(self) -> StepResult[_Result] | None:
        file, download = self._file, self._download
        assert file is not None  # only an open one is concluded
        sha256, git_sha1 = file.hashes()
        wrong = self._wrong or difference(download.expected, file.prefix, sha256, git_sha1)
        if wrong:
            if self._again:
                raise _mismatch(download, wrong, self._put_aside(file, sha256))
            file.restart(file.epoch)
            self._again, self._wrong = True, ""
            self._requests.refuse_ranges()
            self._pieces.append(ByteRange(file.epoch, 0, download.expected.bytes))
            self._concluding = False
            return None
        size = file.prefix
        if not is_still_there(self._descriptor, download.staging):
            raise LeaseLost(
                f"{download.label}: another writer replaced {download.staging}",
                "run one warmer at a time; run the same command again to see what is left to do",
            )
        file.complete()
        accepted = self._accept(Staged(download.staging, size, sha256))
        self._made = True
        self.close()
        return StepResult(accepted)

    def _put_aside(self, file: GrowingFile, sha256: str) -> Path | None:
        kept = quarantine(self._descriptor, self._download.staging, sha256)
        if kept is None:
            file.restart(file.epoch)
        else:
            file.complete()  # a note of its ranges would be of a file that has gone
        return kept


def _pieces(file: GrowingFile, size: int | None) -> list[ByteRange]:
    if size is None:
        return [ByteRange(file.epoch, file.prefix, None)]
    length = min(_LARGEST_RANGE, max(_SMALLEST_RANGE, size // _RANGES)) if size > SPLIT_ABOVE else size
    return [
        ByteRange(file.epoch, at, min(at + length, end))
        for start, end in file.holes(size)
        for at in range(start, end, length)
    ]


def _mismatch(download: Download, wrong: str, kept: Path | None) -> ContentMismatch:
    where = f"; it is kept as {kept}" if kept is not None else ""
    return ContentMismatch(
        f"{download.label}: {redacted(download.url)} sent {wrong} (as the {download.expected.said_by} says), "
        f"twice{where}",
        "compare the pin in the catalog and its lock with the source; a mirror or proxy may hold a damaged copy",
    )
