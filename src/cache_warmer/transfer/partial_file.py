"""Staging file that several threads write in parallel, with its hash, its journal and its syncs.

Bytes go to disk as they arrive, so that a killed run loses little. A big file has two threads of its own:

* the hash thread reads the file behind the writers, as far as it has no hole, and updates the hash. Connections do
  not wait for the hash and no body is held in memory; only when the hash falls 256 MiB behind do writers wait for it.
* the sync thread brings what was written to disk and records it in the journal, so that little is left to sync at
  the end.

A small file needs neither: it is hashed and synced when it is complete.

One lock guards all state; the conditions belong to it. Disk writes and reads happen outside it. A second lock
(`_journal_lock`, taken first) keeps a restart and the sync thread from writing contradicting records. `epoch` counts
the restarts: a writer names the epoch in which it began, and once that is over its bytes are refused, so that nothing
of a former attempt ends up below the hash of the next one.

On failure: an error of a helper thread is stored and raised by `hashes`. `close` may return before a helper that waits
for a slow disk has ended; then the descriptor must stay open.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cache_warmer.disk.positioned_io import read_at, write_at
from cache_warmer.errors import LeaseLost
from cache_warmer.transfer.download import ExpectedContent, ProgressCallback
from cache_warmer.transfer.hashing import CHUNK_BYTES, ContentHash
from cache_warmer.transfer.journal import Extent, Extents, Journal, boot_id
from cache_warmer.transfer.staging import staged_extents

# Bytes after which `written` is recorded: a killed process loses at most these and the chunks in its hands.
JOURNAL_BYTES: Final = 1 << 20
# Bytes that are synced at a time: enough for the full speed of a disk, little to wait for at the end.
SYNC_BYTES: Final = 32 << 20
_JOURNAL_MODE: Final = 0o644
# Seconds that `close` waits for writers, and for each helper thread.
_GRACE_SECONDS: Final = 2.0
# Bytes that the hash thread waits for, and reads at once.
_HASH_BYTES: Final = 4 * CHUNK_BYTES
# Bytes that the hash may fall behind before writers wait for it. Without a limit the connections would take all
# processors where these are scarce, and the hash would run at the end, on one core.
_MAX_HASH_LAG: Final = 256 << 20
# Seconds between two checks for cancellation while waiting for the hash.
_WAIT_FOR_HASH_SECONDS: Final = 1.0
_FINAL_HASH_SECONDS: Final = 0.2


class PartialFile:
    """One open staging file. Thread-safe.

    Attributes:
        epoch: number of the present attempt; see the module.
    """

    def __init__(
        self,
        descriptor: int,
        path: Path,
        expected: ExpectedContent,
        on_progress: ProgressCallback,
        check_cancelled: Callable[[], None],
        *,
        big: bool,
    ) -> None:
        """Resume what an earlier run left: `received` counts it, `on_progress` does not report it.

        Args:
            descriptor: of the open staging file; stays the caller's.
            path: of the staging file.
            expected: size and hashes of the content.
            on_progress: called with the number of bytes written; negative when a restart discards them.
            check_cancelled: called before every chunk; raises when the run must stop.
            big: whether the file gets a journal and helper threads; needs a known size.

        Raises:
            OSError: the file cannot be truncated or synced, or the journal cannot be written.
        """
        self.epoch = 0
        self._descriptor, self._path, self._size = descriptor, path, expected.bytes
        self._on_progress, self._check_cancelled = on_progress, check_cancelled
        self._journal_lock, self._lock = threading.Lock(), threading.Lock()  # taken in this order
        # Conditions of `_lock`: there is something to hash or to sync, the hash has advanced, a writer has ended.
        self._to_hash, self._to_sync = threading.Condition(self._lock), threading.Condition(self._lock)
        self._hash_advanced = threading.Condition(self._lock)
        self._writer_ended = threading.Condition(self._lock)
        self._writers = 0
        self._extents = staged_extents(path, expected.bytes)
        self._closed = False
        self._hash = _PrefixHash(descriptor, expected)
        # Bytes since the last record of `written`, and since the last sync.
        self._unrecorded = self._unsynced = 0
        self._failure: BaseException | None = None
        self._journal: Journal | None = None
        self._helpers: list[threading.Thread] = []
        if not self._extents.total:
            os.ftruncate(descriptor, 0)
        if big and expected.bytes is not None:
            self._start_journal(expected.bytes)
            for work in (self._run_hash, self._run_sync):
                self._helpers.append(threading.Thread(target=self._guarded, args=(work,), daemon=True))
                self._helpers[-1].start()

    @property
    def received(self) -> int:
        """Bytes that are present."""
        with self._lock:
            return self._extents.total

    @property
    def prefix(self) -> int:
        """Bytes that are present from the beginning up to the first hole."""
        with self._lock:
            return self._extents.prefix

    def holes(self, size: int) -> tuple[Extent, ...]:
        """Return the missing ranges of a file of `size` bytes."""
        with self._lock:
            return tuple(self._extents.holes(size))

    def write(self, epoch: int, at: int, chunk: bytes | memoryview) -> bool:
        """Write a chunk at an offset.

        Returns:
            False, with nothing recorded, if the epoch is over.

        Raises:
            OSError: the disk fails or is full.
        """
        self._check_cancelled()
        with self._lock:
            self._wait_for_hash()
            if epoch != self.epoch:
                return False
            self._writers += 1
        try:
            write_at(self._descriptor, chunk, at)  # outside the lock: the disk may take long
        finally:
            with self._lock:
                self._writers -= 1
                self._writer_ended.notify_all()
        with self._lock:
            if epoch != self.epoch:
                return False
            before = self._extents.total
            self._extents.add(at, at + len(chunk))
            grown = self._extents.total - before
            self._unrecorded += grown
            self._unsynced += grown
            if self._journal is not None and self._unrecorded >= JOURNAL_BYTES:
                self._journal.record_written(self._extents.pairs())
                self._unrecorded = 0
            if self._helpers:
                self._wake_helpers()
        self._on_progress(grown)
        return True

    def restart(self, epoch: int) -> int | None:
        """Discard everything and start the next epoch.

        Returns:
            The new epoch; None, with nothing discarded, if `epoch` is over already.

        Raises:
            OSError: the journal cannot be written or the file not truncated.
        """
        with self._journal_lock, self._lock:
            if epoch != self.epoch:
                return None
            self.epoch += 1
            while self._writers:  # those of the former epoch that are inside a write
                self._writer_ended.wait()
            discarded, self._extents = self._extents.total, Extents()
            if self._journal is not None:  # before the truncation: it must never promise more than is there
                self._journal.record_synced(())
                self._journal.record_written(())
            os.ftruncate(self._descriptor, 0)
            self._hash = self._hash.restart()
            self._unrecorded = self._unsynced = 0
        self._on_progress(-discarded)
        return epoch + 1

    def hashes(self) -> tuple[str, str | None]:
        """Wait for the hash of what is present up to the first hole.

        Returns:
            The sha256, and git's sha1 or None.

        Raises:
            LeaseLost: the file of a suspended process was taken and cut by another run.
            OSError: the file cannot be read; also any error of a helper thread.
        """
        with self._lock:
            while self._helpers and self._hash.at < self._extents.prefix:
                if self._failure is not None:
                    raise self._failure
                self._to_hash.notify_all()
                self._hash_advanced.wait(_FINAL_HASH_SECONDS)
                self._check_cancelled()
            prefix_hash, end = self._hash, self._extents.prefix
        prefix_hash.advance(
            end, self._check_cancelled
        )  # of a small file, which has no helpers, this is all of it
        return prefix_hash.digests()

    def complete(self) -> None:
        """Sync the whole file and delete the journal: from now on no thread uses the file, and it is complete.

        Raises:
            OSError: the disk fails or is full.
            Interrupted: the run was cancelled while a thread waited for a slow disk.
        """
        os.fsync(self._descriptor)
        while not self.close():
            self._check_cancelled()
        if self._journal is not None:
            self._journal.remove()

    def close(self) -> bool:
        """End the epoch and the helper threads, and record the last state. Idempotent.

        Returns:
            Whether no thread uses the descriptor any more; one that waits for a slow disk may.
        """
        with self._lock:
            self.epoch += 0 if self._closed else 1
            first, self._closed = not self._closed, True
            for condition in (self._to_hash, self._to_sync, self._hash_advanced):
                condition.notify_all()
            writers_ended = self._writer_ended.wait_for(lambda: not self._writers, _GRACE_SECONDS)
        for helper in self._helpers:
            helper.join(_GRACE_SECONDS)
        if not writers_ended or any(helper.is_alive() for helper in self._helpers):
            return False
        if first and self._journal is not None:
            with contextlib.suppress(OSError):  # a full disk: what is not recorded is fetched again
                self._journal.record_written(self._extents.pairs())
            self._journal.close()
        return True

    def _start_journal(self, size: int) -> None:
        """Start a new journal after syncing what the former one, perhaps of another boot, vouched for."""
        self._journal = Journal(self._path, size, boot_id(), _JOURNAL_MODE)
        self._journal.record_written(self._extents.pairs())  # at once: the sync may take long
        os.fsync(self._descriptor)
        self._journal.record_synced(self._extents.pairs())

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised by `hashes`
            with self._lock:
                self._failure = error

    def _wake_helpers(self) -> None:
        if self._extents.prefix - self._hash.at >= _HASH_BYTES or self._extents.total == self._size:
            self._to_hash.notify()
        if self._unsynced >= SYNC_BYTES:
            self._to_sync.notify()

    def _wait_for_hash(self) -> None:
        while self._helpers and self._extents.prefix - self._hash.at > _MAX_HASH_LAG:
            if self._closed or self._failure is not None:
                return  # `hashes` raises the failure
            self._hash_advanced.wait(_WAIT_FOR_HASH_SECONDS)
            self._check_cancelled()

    def _run_hash(self) -> None:
        """Hash what was written. The target of the hash thread."""
        while True:
            with self._lock:
                self._to_hash.wait_for(lambda: self._closed or self._hash.at < self._extents.prefix)
                if self._closed:
                    return
                prefix_hash, end = self._hash, self._extents.prefix
            at = prefix_hash.at
            prefix_hash.advance(min(end, at + _HASH_BYTES), self._check_cancelled)
            with self._lock:
                if prefix_hash.at == at and prefix_hash is self._hash:  # no restart made the file shorter
                    raise LeaseLost(
                        f"another writer took {self._path} and cut it",
                        "run one warmer at a time; run the same command again to see what is left to do",
                    )
                self._hash_advanced.notify_all()

    def _run_sync(self) -> None:
        """Sync and record what was written. The target of the sync thread."""
        while True:
            with self._lock:
                self._to_sync.wait_for(lambda: self._closed or self._unsynced >= SYNC_BYTES)
                if self._closed:
                    return
                epoch, extents, self._unsynced = self.epoch, self._extents.pairs(), 0
            _sync_data(self._descriptor)
            with self._journal_lock:  # not `_lock`: writers would wait for the disk
                if epoch == self.epoch and self._journal is not None:
                    self._journal.record_synced(extents)


class _PrefixHash:
    """Hash of the beginning of a file, read from the file while the system still has it in memory.

    Attributes:
        at: number of bytes that are hashed.
    """

    def __init__(self, descriptor: int, expected: ExpectedContent) -> None:
        self.at = 0
        self._buffer = bytearray()
        self._descriptor, self._expected = descriptor, expected
        # git's sha1 takes as long again, so a file whose sha256 is known goes without
        needs_git_sha1 = expected.git_sha1 is not None or expected.sha256 is None
        self._content = ContentHash(expected.bytes if needs_git_sha1 else None)

    def restart(self) -> "_PrefixHash":
        return _PrefixHash(self._descriptor, self._expected)

    def advance(self, end: int, check_cancelled: Callable[[], None]) -> None:
        """Hash up to `end`; stop early if the file is shorter, because a restart truncated it."""
        while self.at < end:
            check_cancelled()
            chunk = self._read(min(_HASH_BYTES, end - self.at))
            if not chunk:
                return
            self._content.update(chunk)
            self.at += len(chunk)

    def digests(self) -> tuple[str, str | None]:
        return self._content.sha256(), self._content.git_sha1()

    def _read(self, count: int) -> bytes | memoryview:
        if not hasattr(os, "preadv"):  # macOS before 11, Windows
            return read_at(self._descriptor, count, self.at)
        if len(self._buffer) < count:  # one buffer: allocating memory costs about as much as copying into it
            self._buffer = bytearray(count)
        into = memoryview(self._buffer)[:count]
        return into[: os.preadv(self._descriptor, [into], self.at)]


def _sync_data(descriptor: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:  # macOS, Windows
        os.fsync(descriptor)
