"""Reads every byte of the files and compares their hashes, on all cores.

Hashing releases the GIL, so threads are enough. Memory is one buffer a thread, whatever the files' size. A
file may change or vanish while it is read: that is a finding, not a failure.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Sequence

from model_cache.checking.files import Found, Remedies, problem_of
from model_cache.checking.values import Problem, Progress
from model_cache.reasons import Reason

BUFFER_BYTES = 2**20


def hash_all(
    files: Sequence[Found], remedies: Remedies, progress: Progress | None = None, threads: int | None = None
) -> dict[Found, Problem]:
    """Return the problem of each file whose content is not as recorded. Writes nothing.

    Args:
        files: as ``look_at`` found them; a real path that is listed twice is read once.
        remedies: the commands to name.
        progress: see ``Progress``.
        threads: how many read at once; None: one a core that this process may use.
    """
    from concurrent.futures import ThreadPoolExecutor  # here: the fast tier must not pay for it

    by_path: dict[str, list[Found]] = {}
    for file in files:
        by_path.setdefault(file.real_path, []).append(file)
    counter = _Counter(sum(group[0].record.bytes for group in by_path.values()), progress)
    largest_first = deque(sorted(by_path, key=lambda path: -by_path[path][0].record.bytes))

    def work(_thread: int) -> dict[Found, Problem]:
        buffer = memoryview(bytearray(BUFFER_BYTES))
        problems: dict[Found, Problem] = {}
        try:
            while (path := _next(largest_first)) and not counter.stop:
                problems.update(_hash_one(by_path[path], buffer, counter, remedies))
        except BaseException:
            counter.stop = True
            raise
        return problems

    count = min(threads or _cores(), len(by_path)) or 1
    with ThreadPoolExecutor(count) as pool:
        try:
            results = list(pool.map(work, range(count)))
        except BaseException:
            counter.stop = True  # a signal: the threads end at their next buffer
            raise
    return {file: problem for result in results for file, problem in result.items()}


def _next(paths: deque[str]) -> str | None:
    try:
        return paths.popleft()
    except IndexError:  # also where another thread took the last one
        return None


def _hash_one(
    same: Sequence[Found], buffer: memoryview, counter: "_Counter", remedies: Remedies
) -> dict[Found, Problem]:
    path = same[0].real_path
    try:
        size, sha256 = _size_and_hash(path, buffer, counter)
    except OSError as error:
        return {file: problem_of(file.path, error, remedies) for file in same}
    problems: dict[Found, Problem] = {}
    for file in same:
        if size != file.record.bytes:
            detail = f"had {size} bytes when it was read, where {file.record.bytes} should be"
        elif sha256 != file.record.sha256:
            detail = f"has the sha256 {sha256} where {file.record.sha256} should be"
        else:
            continue
        problems[file] = Problem(file.path, Reason.CACHE_CORRUPT, detail, remedies.mend())
    return problems


def _size_and_hash(path: str, buffer: memoryview, counter: "_Counter") -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as stream:
        while (count := stream.readinto(buffer)) and not counter.stop:
            digest.update(buffer[:count])
            size += count
            counter.add(count)
    return size, digest.hexdigest()


class _Counter:
    def __init__(self, total: int, progress: Progress | None) -> None:
        self.stop = False
        self._done, self._total, self._progress = 0, total, progress
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            if self._progress is None:
                return
            try:
                self._progress(self._done, self._total)
            except OSError:  # whoever watched went away; this must not look like a file that cannot be read
                self._progress = None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
