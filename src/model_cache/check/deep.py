"""Reads every byte of the files and compares their hashes, on all cores.

Hashing releases the GIL, so threads are enough. Memory is one buffer a thread, whatever the files' size. A
file may change or vanish while it is read: that is a finding, not a failure.

Names what lies in a cache and no manifest lists: left-overs cost room, and code on other projects' path may
run.

A cache of one folder is ours whole. On a host others keep repositories and packages in the same places, and fetch more
files of the same commits: there only our own trees of packages are looked at, and the modules that every Python would
run by itself.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from model_cache.check.files import Found, Remedies, problem_of
from model_cache.check.types import Problem, Progress
from model_cache.errors import ManifestInvalid
from model_cache.manifest import ModelRecord, parse_manifest, parse_model_record
from model_cache.places import HOST, PlaceName, Places
from model_cache.reasons import Reason

BUFFER_BYTES: Final = 2**20


def hash_all(
    files: Sequence[Found], remedies: Remedies, progress: Progress | None = None, threads: int | None = None
) -> dict[Found, Problem]:
    """Return the problem of each file whose content is not as recorded. Writes nothing.

    Args:
        files: as `inspect` found them; a real path that is listed twice is read once.
        remedies: the commands to name.
        progress: see `Progress`.
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


_PACKAGES: Final = ".packages"
# Python imports these at every start from wherever they are on its path.
_RUN_BY_ITSELF: Final = ("sitecustomize.py", "usercustomize.py", "sitecustomize", "usercustomize")
_COMPILED: Final = "__pycache__"


def unlisted(places: Places) -> tuple[str, ...]:
    """Return the full paths, sorted; a folder with nothing that is listed ends with `/`. Reads only; never raises.

    Without a single record nothing is known, and nothing is named. While a warmer works, what it has just fetched is
    not listed yet.
    """
    listed = _listed(places)
    if not any(listed.values()):
        return ()
    found = [*_packages(places, listed[PlaceName.SPACY])]
    if places.label != HOST:
        found += _snapshots(places.hub.path, listed[PlaceName.HUB])
    return tuple(sorted(found))


def _listed(places: Places) -> dict[PlaceName, set[str]]:
    """Return the paths that any manifest or record lists, of this catalog or another, by place."""
    listed: dict[PlaceName, set[str]] = {name: set() for name in PlaceName}
    for record in _records(places.own.path):
        for file in record.files:
            listed[file.place].add(file.path)
    return listed


def _records(own: Path) -> Iterator[ModelRecord]:
    for entry in _entries(own / "manifests"):
        try:
            yield from parse_manifest(Path(entry.path).read_bytes()).models
        except (OSError, ManifestInvalid):
            continue
    for entry in _entries(own / "models"):
        try:
            yield parse_model_record(Path(entry.path).read_bytes())
        except (OSError, ManifestInvalid):
            continue


def _packages(places: Places, listed: set[str]) -> Iterator[str]:
    root, on_host = places.spacy.path, places.label == HOST
    trees = {path.split("/")[1] for path in listed if path.startswith(f"{_PACKAGES}/")}
    for entry in _entries(root / _PACKAGES):
        if entry.name in trees:
            yield from _files(root, f"{_PACKAGES}/{entry.name}", listed, compiled=not on_host)
        elif not entry.name.startswith("."):  # what is being unpacked, and our notes
            yield f"{entry.path}/"
    for entry in _entries(root):
        if entry.name in _RUN_BY_ITSELF or not (on_host or _is_ours(root, entry)):
            yield f"{entry.path}/" if entry.is_dir(follow_symlinks=False) else entry.path


def _is_ours(root: Path, entry: "os.DirEntry[str]") -> bool:
    """Whether a name on other projects' path is a link to a package of ours, or a copy where there are no links."""
    if entry.name == _PACKAGES:
        return True
    if entry.is_symlink():
        return _PACKAGES in Path(os.readlink(entry.path)).parts
    return os.path.exists(root / _PACKAGES / ".copies" / entry.name)


def _snapshots(root: Path, listed: set[str]) -> Iterator[str]:
    """Return the files of our commits that nothing lists, and the repositories of which nothing is."""
    commits = {"/".join(path.split("/")[:3]) for path in listed}
    repositories = {commit.split("/")[0] for commit in commits}
    for entry in _entries(root):
        if entry.name.startswith(("models--", "datasets--", "spaces--")) and entry.name not in repositories:
            yield f"{entry.path}/"
    for repository in repositories:
        for entry in _entries(root / repository / "snapshots"):
            commit = f"{repository}/snapshots/{entry.name}"
            if commit in commits:
                yield from _files(root, commit, listed, compiled=True)
            else:
                yield f"{entry.path}/"


def _files(root: Path, folder: str, listed: set[str], *, compiled: bool) -> Iterator[str]:
    for directory, folders, names in os.walk(root / folder):
        if not compiled and _COMPILED in folders:
            folders.remove(_COMPILED)  # of whoever imported the package
        below = os.path.relpath(directory, root).replace(os.sep, "/")
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        yield from (
            os.path.join(directory, name) for name in (*names, *links) if f"{below}/{name}" not in listed
        )


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
