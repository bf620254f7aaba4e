"""Download of one body into its staging file: parallel range requests, resumable, verified.

A body is a job of the pool; its steps are: claim a staging file, one step per range, verify. The ranges are handed
out from the front and only a few run at once, so that the part without holes grows with the transfer and its hash
with it (`partial_file`).

Verification compares size and hash with what lock, hub or catalog promise. ETags and addresses do not count: those of
a redirect's target change between runs. Content that is wrong is fetched a second time from scratch, whole and in one
stream, because what damages ranges (a proxy, a cache) may leave a plain request alone. Content that is wrong twice is
quarantined (`staging`) and `ContentMismatch` is raised.

Steps run in threads of the pool; `next_step` is called by one thread at a time. A body owns its `PartialFile` and the
claimed staging file (`claim`), from its first step until `close`. After a failure the file goes back to its resting
name for the next run. Before the verified file is handed on it is closed, because a published file must never be open
for writing; a descriptor for reading keeps the lock, so that no other run takes the file for abandoned.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import httpx2

from cache_warmer.disk.volume import retry_temporary
from cache_warmer.errors import ContentMismatch, Interrupted, LeaseLost
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.claim import claim_staging_file, hold_lock, remove_abandoned
from cache_warmer.transfer.download import Download, ProgressCallback, StagedBody
from cache_warmer.transfer.hashing import describe_mismatch
from cache_warmer.transfer.partial_file import PartialFile
from cache_warmer.transfer.pool import StepResult
from cache_warmer.transfer.range_requests import ByteRange, RangeRequests, SizeMismatch
from cache_warmer.transfer.staging import ClaimedFile, quarantine
from model_cache.urls import redacted

_Result = TypeVar("_Result")
# Parallel requests for one body. One connection's share of a line is then small, and hubs accept this many.
RANGES_AT_ONCE: Final = 8
# Bytes above which a body is fetched in ranges.
SPLIT_ABOVE: Final = 32 << 20
# Limits in bytes of one range: large compared with the cost of a request, small compared with what waits to be hashed.
_MIN_RANGE, _MAX_RANGE = 16 << 20, 64 << 20
# Number of ranges of a body, within these limits.
_RANGES: Final = 32


@dataclass(frozen=True, slots=True)
class Downloader:
    """Factory of the download jobs of one run.

    Attributes:
        http: the client for all requests.
        retry: limits of the retries.
        check_cancelled: called before every chunk; raises when the run must stop.
    """

    http: httpx2.Client
    retry: Retry
    check_cancelled: Callable[[], None]

    def body(
        self,
        download: Download,
        on_progress: ProgressCallback,
        on_resumed: ProgressCallback,
        on_received: ProgressCallback,
        activity: Callable[[], AbstractContextManager[None]],
        on_verified: Callable[[StagedBody], _Result],
    ) -> "BodyDownload[_Result]":
        """Return the job that downloads a body.

        Args:
            download: what to fetch.
            on_progress: called with bytes written; negative when they are discarded.
            on_resumed: called with the bytes that an earlier run left.
            on_received: called with bytes that came over the network.
            activity: context manager around the work; an exception leaves it if the work is abandoned.
            on_verified: called once with the verified body, in a thread of the pool; its result is the job's.
        """
        requests = RangeRequests(self.http, self.retry, download, on_received)
        return BodyDownload(
            download, requests, on_progress, on_resumed, activity, self.check_cancelled, on_verified
        )


class BodyDownload(Generic[_Result]):
    """Job of the pool that downloads one body.

    A step raises `HubError` if the body cannot be had or was wrong twice (`ContentMismatch`, with both hashes),
    `LeaseLost` if another writer replaced the staging file, and `OSError` for the disk.
    """

    def __init__(
        self,
        download: Download,
        requests: RangeRequests,
        on_progress: ProgressCallback,
        on_resumed: ProgressCallback,
        activity: Callable[[], AbstractContextManager[None]],
        check_cancelled: Callable[[], None],
        on_verified: Callable[[StagedBody], _Result],
    ) -> None:
        self._download, self._requests = download, requests
        self._on_progress, self._on_resumed, self._activity = on_progress, on_resumed, activity
        self._check_cancelled, self._on_verified = check_cancelled, on_verified
        self._resources = ExitStack()  # the activity
        self._claim: ClaimedFile | None = None  # until it is closed
        self._file: PartialFile | None = None
        # Guards the two below: a file that a step uses must not be closed, because its descriptor's number would soon
        # be that of another file.
        self._lock = threading.Lock()
        self._active_steps, self._closed = 0, False
        self._started = self._verifying = self._second_attempt = self._succeeded = False
        self._ranges: deque[ByteRange] = deque()
        # The mismatch, if a response had another size than expected.
        self._wrong_size = ""

    def next_step(self, running: int) -> Callable[[], StepResult[_Result] | None] | None:
        """Return the step that opens the file, the next range, or the step that verifies."""
        if not self._started:
            self._started = True
            return self._step(self._start)
        file = self._file
        if file is None or self._verifying:
            return None
        while self._ranges and self._ranges[0].epoch != file.epoch:
            self._ranges.popleft()  # of an attempt that is over
        if self._ranges and running < RANGES_AT_ONCE:
            byte_range = self._ranges.popleft()
            return self._step(lambda: self._fetch(byte_range))
        if not self._ranges and not running:
            self._verifying = True
            return self._step(self._verify)
        return None

    def close(self) -> None:
        """Release the file, which stays for the next run. Idempotent.

        A step that still runs releases it when it ends.
        """
        with self._lock:
            self._closed = True
            is_idle = not self._active_steps
        # False: a thread still uses the descriptor. The file keeps its private name, and the next run copies it.
        is_closed = self._file is None or self._file.close()
        if is_idle and is_closed:
            self._release()
        if self._succeeded:
            self._resources.close()
        else:  # the activity learns that the work was abandoned
            self._resources.__exit__(Interrupted, Interrupted(), None)

    def _release(self) -> None:
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.close()
            claim.rest()

    def _step(
        self, step: Callable[[], StepResult[_Result] | None]
    ) -> Callable[[], StepResult[_Result] | None]:
        """Count a step while it runs, and add the path to an `OSError` that has none, such as one of a write."""

        def run() -> StepResult[_Result] | None:
            with self._lock:
                if self._closed:
                    raise Interrupted
                self._active_steps += 1
            try:
                return step()
            except OSError as error:
                if error.filename is None:
                    error.filename = str(self._download.staging)
                raise
            finally:
                with self._lock:
                    self._active_steps -= 1
                    is_last = self._closed and not self._active_steps
                if is_last and (self._file is None or self._file.close()):
                    self._release()

        return run

    def _start(self) -> None:
        download = self._download
        self._resources.enter_context(self._activity())
        size = download.expected.bytes
        big = size is not None and size > SPLIT_ABOVE
        self._claim = retry_temporary(
            lambda: claim_staging_file(
                download.staging, download.boundary, size, self._check_cancelled, journaled=big
            )
        )
        file = PartialFile(
            self._claim.descriptor,
            self._claim.path,
            download.expected,
            self._on_progress,
            self._check_cancelled,
            big=big,
        )
        self._on_resumed(file.received)
        self._ranges = deque(_missing_ranges(file, size))
        self._file = file

    def _fetch(self, byte_range: ByteRange) -> None:
        file = self._file
        assert file is not None  # ranges are of an open file
        try:
            self._requests.fetch(byte_range, file)
        except SizeMismatch as error:
            self._wrong_size = self._wrong_size or str(error)
            file.restart(file.epoch)

    def _verify(self) -> StepResult[_Result] | None:
        file, download = self._file, self._download
        assert file is not None  # only an open file is verified
        sha256, git_sha1 = file.hashes()
        mismatch = self._wrong_size or describe_mismatch(download.expected, file.prefix, sha256, git_sha1)
        claim = self._claim
        assert claim is not None  # of an open file
        self._require_ours(claim.is_ours())  # else another run may have changed it
        if mismatch:
            if self._second_attempt:
                raise _content_mismatch(download, mismatch, self._quarantine(file, sha256))
            self._restart(file)
            return None
        size = file.prefix
        file.complete()
        self._claim = None
        claim.close()
        result = self._hand_on(claim, size, sha256)
        remove_abandoned(download.staging)
        self._succeeded = True
        return StepResult(result)

    def _hand_on(self, claim: ClaimedFile, size: int, sha256: str) -> _Result:
        """Have the verified file published; keep it for the next run if that fails."""
        try:
            with hold_lock(claim.path):
                self._require_ours(claim.path.exists())
                return self._on_verified(StagedBody(claim.path, size, sha256))
        except BaseException as error:
            claim.rest()
            if isinstance(error, FileNotFoundError):
                self._require_ours(error.filename != str(claim.path))
            raise

    def _require_ours(self, ours: bool) -> None:
        if not ours:
            raise LeaseLost(
                f"{self._download.label}: another writer took {self._download.staging}",
                "run one warmer at a time; run the same command again to see what is left to do",
            )

    def _restart(self, file: PartialFile) -> None:
        """Discard the content and fetch it a second time, whole and in one stream."""
        file.restart(file.epoch)
        self._second_attempt, self._wrong_size = True, ""
        self._requests.disable_ranges()
        self._ranges.append(ByteRange(file.epoch, 0, self._download.expected.bytes))
        self._verifying = False

    def _quarantine(self, file: PartialFile, sha256: str) -> Path | None:
        claim = self._claim
        assert claim is not None  # of an open file
        kept = quarantine(claim.descriptor, claim.path, sha256, resting=self._download.staging)
        if kept is None:
            file.restart(file.epoch)
        else:
            file.complete()  # removes the journal, which would be of a file that is gone
        return kept


def _missing_ranges(file: PartialFile, size: int | None) -> list[ByteRange]:
    """Return the ranges to fetch, in order."""
    if size is None:
        return [ByteRange(file.epoch, file.prefix, None)]
    length = min(_MAX_RANGE, max(_MIN_RANGE, size // _RANGES)) if size > SPLIT_ABOVE else size
    return [
        ByteRange(file.epoch, at, min(at + length, end))
        for start, end in file.holes(size)
        for at in range(start, end, length)
    ]


def _content_mismatch(download: Download, mismatch: str, kept: Path | None) -> ContentMismatch:
    kept_as = f"; it is kept as {kept}" if kept is not None else ""
    return ContentMismatch(
        f"{download.label}: {redacted(download.url)} sent {mismatch} (according to the {download.expected.source}), "
        f"twice{kept_as}",
        "compare the pin in the catalog and its lock with the source; a mirror or proxy may hold a damaged copy",
    )
