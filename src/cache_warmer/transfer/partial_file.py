"""A staging file that several threads write at once, and what is known of its content.

Bytes go straight to disk, so that a killed run loses little. Two threads of its own serve a big file: one hashes the
part without holes as it grows, so that connections never wait for the hash and no body is held in memory; one brings
what was written to disk and notes it, so that little is left to sync at the end. A small file needs neither.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.artifact import Expected, Progress
from cache_warmer.transfer.hashing import CHUNK, ContentHash
from cache_warmer.transfer.journal import Extent, Extents, Journal, boot_id
from cache_warmer.transfer.staging import staged_extents

# A killed process has fetched at most so many bytes in vain, and the chunks that were in its hands.
NOTE_BYTES: Final = 1 << 20
# As many are brought to disk at a time: enough for a disk's full speed, little for the end to wait for.
SYNC_BYTES: Final = 32 << 20
_GRACE_SECONDS: Final = 2.0
# The hash wakes for as many, and reads as many at once.
_HASH_BYTES: Final = 4 * CHUNK
# Connections wait for a hash that is so far behind: where processors are what is short they would take them
# all, and the hash would do its work when they are done, on one core.
_HASH_LAG: Final = 256 << 20


class GrowingFile:
    """One open staging file. `write` and `restart` may be called by several threads.

    `epoch` counts the restarts. A writer names the epoch it began in; once that is over its bytes are refused, so
    that nobody writes below the hash of another attempt.
    """

    def __init__(
        self,
        descriptor: int,
        path: Path,
        expected: Expected,
        progress: Progress,
        keep_going: Callable[[], None],
        *,
        big: bool,
    ) -> None:
        """Take what an earlier run left, which `progress` is not told of; `received` says how much it is."""
        self.epoch = 0
        self._descriptor, self._path, self._size = descriptor, path, expected.bytes
        self._progress, self._keep_going = progress, keep_going
        self._noting, self._lock = threading.Lock(), threading.Lock()  # taken in this order
        self._hashing, self._syncing = threading.Condition(self._lock), threading.Condition(self._lock)
        self._hashed, self._written = threading.Condition(self._lock), threading.Condition(self._lock)
        self._writers = 0
        self._extents = staged_extents(path, expected.bytes)
        self._closed = False
        self._hash = _Hash(descriptor, expected)
        self._unnoted = self._unsynced = 0
        self._failure: BaseException | None = None
        self._journal: Journal | None = None
        self._helpers: list[threading.Thread] = []
        if not self._extents.total:
            os.ftruncate(descriptor, 0)
        if big and expected.bytes is not None:
            self._begin_journal(expected.bytes)
            for work in (self._follow, self._sync):
                self._helpers.append(threading.Thread(target=self._guarded, args=(work,), daemon=True))
                self._helpers[-1].start()

    @property
    def received(self) -> int:
        """Bytes that are there."""
        with self._lock:
            return self._extents.total

    @property
    def prefix(self) -> int:
        """Bytes that are there without a hole."""
        with self._lock:
            return self._extents.prefix

    def holes(self, size: int) -> tuple[Extent, ...]:
        """Return what is not there."""
        with self._lock:
            return tuple(self._extents.holes(size))

    def write(self, epoch: int, at: int, chunks: Sequence[bytes | memoryview]) -> bool:
        """Write at a place. Returns False, and writes nothing, if the epoch is over. Raises `OSError`."""
        self._keep_going()
        with self._lock:
            self._wait_for_hash()
            if epoch != self.epoch:
                return False
            self._writers += 1
        end = at + sum(map(len, chunks))
        try:
            _write_at(self._descriptor, chunks, at)  # and not in the lock: the disk may take its time
        finally:
            with self._lock:
                self._writers -= 1
                self._written.notify_all()
        with self._lock:
            if epoch != self.epoch:
                return False
            before = self._extents.total
            self._extents.add(at, end)
            grown = self._extents.total - before
            self._unnoted += grown
            self._unsynced += grown
            if self._journal is not None and self._unnoted >= NOTE_BYTES:
                self._journal.written(self._extents.pairs())
                self._unnoted = 0
            if self._helpers:
                self._wake()
        self._progress(grown)
        return True

    def restart(self, epoch: int) -> int | None:
        """Forget everything and return the new epoch; None, and nothing happens, if that epoch is over.

        Raises `OSError`.
        """
        with self._noting, self._lock:
            if epoch != self.epoch:
                return None
            self.epoch += 1
            while self._writers:  # of the epoch that is over, and in the middle of it
                self._written.wait()
            dropped, self._extents = self._extents.total, Extents()
            if self._journal is not None:  # first: a note must never promise more than is there
                self._journal.synced(())
                self._journal.written(())
            os.ftruncate(self._descriptor, 0)
            self._hash = self._hash.restart()
            self._unnoted = self._unsynced = 0
        self._progress(-dropped)
        return epoch + 1

    def hashes(self) -> tuple[str, str | None]:
        """Return (sha256, git sha1 or None) of what is there without a hole, once the hash has come so far."""
        with self._lock:
            while self._helpers and self._hash.at < self._extents.prefix:
                if self._failure is not None:
                    raise self._failure
                self._hashing.notify_all()
                self._hashed.wait(0.2)
                self._keep_going()
            hashed, end = self._hash, self._extents.prefix
        hashed.read_on(end, self._keep_going)  # of a small file that is all
        return hashed.value()

    def complete(self) -> None:
        """Sync all of it and drop the note: from now on the file's size says what is there. Raises `OSError`."""
        os.fsync(self._descriptor)
        if self._journal is not None:
            self._journal.remove()
        self.close()

    def close(self) -> bool:
        """End threads and epoch, and let the note say the last state.

        Returns whether nobody uses the descriptor any more; a thread that waits for a slow disk may. Idempotent.
        """
        with self._lock:
            self.epoch += 0 if self._closed else 1
            first, self._closed = not self._closed, True
            for condition in (self._hashing, self._syncing, self._hashed):
                condition.notify_all()
            written = self._written.wait_for(lambda: not self._writers, _GRACE_SECONDS)
        for helper in self._helpers:
            helper.join(_GRACE_SECONDS)
        if not written or any(helper.is_alive() for helper in self._helpers):
            return False
        if first and self._journal is not None:
            with contextlib.suppress(OSError):  # a full disk: what is not noted is fetched again
                self._journal.written(self._extents.pairs())
            self._journal.close()
        return True

    def _begin_journal(self, size: int) -> None:
        """Begin a note anew; what an older one of another boot promised is on disk since then."""
        self._journal = Journal(self._path, size, boot_id(), 0o644)
        os.fsync(self._descriptor)
        self._journal.written(self._extents.pairs())
        self._journal.synced(self._extents.pairs())

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised by whoever waits for the hash
            with self._lock:
                self._failure = error

    def _wake(self) -> None:
        if self._extents.prefix - self._hash.at >= _HASH_BYTES or self._extents.total == self._size:
            self._hashing.notify()
        if self._unsynced >= SYNC_BYTES:
            self._syncing.notify()

    def _wait_for_hash(self) -> None:
        while self._helpers and self._extents.prefix - self._hash.at > _HASH_LAG:
            if self._closed or self._failure is not None:
                return  # told by `hashes`
            self._hashed.wait(1.0)
            self._keep_going()

    def _follow(self) -> None:
        while True:
            with self._lock:
                self._hashing.wait_for(lambda: self._closed or self._hash.at < self._extents.prefix)
                if self._closed:
                    return
                hashed, end = self._hash, self._extents.prefix
            hashed.read_on(min(end, hashed.at + _HASH_BYTES), self._keep_going)
            with self._lock:
                self._hashed.notify_all()

    def _sync(self) -> None:
        while True:
            with self._lock:
                self._syncing.wait_for(lambda: self._closed or self._unsynced >= SYNC_BYTES)
                if self._closed:
                    return
                epoch, extents, self._unsynced = self.epoch, self._extents.pairs(), 0
            _data_sync(self._descriptor)
            with self._noting:  # and not in the other lock: writers would wait for the disk
                if epoch == self.epoch and self._journal is not None:
                    self._journal.synced(extents)


class _Hash:
    """Of the beginning of a file. Read from the file, where the system still has it in memory."""

    def __init__(self, descriptor: int, expected: Expected) -> None:
        self.at = 0
        self._buffer = bytearray()
        self._descriptor, self._expected = descriptor, expected
        # git's hash costs as much again, so a big file, of which sha256 is known, goes without
        git = expected.git_sha1 is not None or expected.sha256 is None
        self._content = ContentHash(expected.bytes if git else None)

    def restart(self) -> "_Hash":
        return _Hash(self._descriptor, self._expected)

    def read_on(self, end: int, keep_going: Callable[[], None]) -> None:
        while self.at < end:
            keep_going()
            chunk = self._read(min(_HASH_BYTES, end - self.at))
            if not chunk:
                return  # the file was made empty meanwhile: this attempt is over
            self._content.update(chunk)
            self.at += len(chunk)

    def _read(self, count: int) -> bytes | memoryview:
        if not hasattr(os, "preadv"):  # macOS before 11, Windows
            return os.pread(self._descriptor, count, self.at)
        if len(self._buffer) < count:  # one buffer, since new memory costs about as much as the copy into it
            self._buffer = bytearray(count)
        into = memoryview(self._buffer)[:count]
        return into[: os.preadv(self._descriptor, [into], self.at)]

    def value(self) -> tuple[str, str | None]:
        return self._content.sha256(), self._content.git_sha1()


def _write_at(descriptor: int, chunks: Sequence[bytes | memoryview], at: int) -> None:
    """Write the chunks one after the other, without joining them first where the system can do so."""
    done = os.pwritev(descriptor, chunks, at) if hasattr(os, "pwritev") else 0
    if done < sum(map(len, chunks)):
        whole = memoryview(b"".join(chunks))
        while done < len(whole):
            done += os.pwrite(descriptor, whole[done:], at + done)


def _data_sync(descriptor: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:  # macOS, Windows
        os.fsync(descriptor)
