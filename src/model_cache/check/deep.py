"""The deep check: compare the hash of every listed file, and find files that no manifest lists.

`verify_hashes` reads with one thread per core, because hashing releases the GIL. Memory is one buffer per thread,
whatever the size of the files. The threads take paths from a shared queue, largest first, and end when it is empty,
when one of them fails, or when the main thread gets a signal. A file that changes or disappears while it is read is a
problem of that file, not a failure of the check.

`find_unlisted` reports what lies in a cache without being listed: leftovers use space, and Python modules on other
projects' path may run. In a cache of one folder everything is ours. On a host other projects keep repositories and
packages in the same places, and fetch more files of the same commits; there only our own package folders are searched,
and the modules that every Python imports at its start.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from model_cache.check.files import CheckedFile, Remedies, problem_from_error
from model_cache.check.types import Problem, ProgressCallback
from model_cache.errors import ManifestInvalid, ModelCacheError
from model_cache.file_io import open_regular_file, read_small_file
from model_cache.layout import COPY_MARKERS, PACKAGES, REPOSITORY_PREFIX, prepared_folder
from model_cache.manifest import ModelRecord, parse_manifest, parse_model_record
from model_cache.places import HOST, PlaceName, Places
from model_cache.prepared_form import RECORD_NAME
from model_cache.prepared_store import list_folders, read_stored_form
from model_cache.reasons import Reason

# Size of one read.
BUFFER_BYTES: Final = 2**20

# Python imports these at every start from wherever they are on its path.
_STARTUP_MODULES: Final = ("sitecustomize.py", "usercustomize.py", "sitecustomize", "usercustomize")
_BYTECODE_FOLDER: Final = "__pycache__"
_REPOSITORY_PREFIXES: Final = (REPOSITORY_PREFIX, "datasets--", "spaces--")


def verify_hashes(
    files: Sequence[CheckedFile],
    remedies: Remedies,
    progress: ProgressCallback | None = None,
    threads: int | None = None,
    git_sha1s: Mapping[str, str] | None = None,
) -> dict[CheckedFile, Problem]:
    """Return the problem of each file whose content is not as recorded. Writes nothing.

    Args:
        files: as `inspect` returns them; a real path that is listed twice is read once.
        remedies: the commands that remedies name.
        progress: see `ProgressCallback`; an exception of it ends the check.
        threads: number of readers; None: one per core that this process may use.
        git_sha1s: git's sha1, by path in the hub place, of files that must have it as well.
    """
    from concurrent.futures import ThreadPoolExecutor  # here: this module is imported for `find_unlisted` too

    by_path: dict[str, list[CheckedFile]] = {}
    for file in files:
        by_path.setdefault(file.real_path, []).append(file)
    counter = _ProgressCounter(sum(group[0].record.bytes for group in by_path.values()), progress)
    largest_first = deque(sorted(by_path, key=lambda path: -by_path[path][0].record.bytes))

    def work(_thread: int) -> dict[CheckedFile, Problem]:
        buffer = memoryview(bytearray(BUFFER_BYTES))
        problems: dict[CheckedFile, Problem] = {}
        try:
            while (path := _next_path(largest_first)) and not counter.stop:
                problems.update(_verify_one(by_path[path], buffer, counter, remedies, git_sha1s or {}))
        except BaseException:
            counter.stop = True
            raise
        return problems

    count = min(threads or _core_count(), len(by_path)) or 1
    with ThreadPoolExecutor(count) as pool:
        try:
            results = list(pool.map(work, range(count)))
        except BaseException:
            counter.stop = True  # a signal: the threads end at their next buffer
            raise
    return {file: problem for result in results for file, problem in result.items()}


def find_unlisted(places: Places) -> tuple[str, ...]:
    """Return the full paths that no manifest or record lists, sorted. Reads only; never raises.

    A folder without any listed file is one path that ends with `/`. If the cache has no record at all, nothing is
    reported. While a warmer runs, files that it has just fetched are not listed yet.
    """
    listed = _listed_paths(places)
    if not any(listed.values()):
        return ()
    paths = [*_unlisted_in_spacy(places, listed[PlaceName.SPACY]), *_unlisted_in_forms(places)]
    if places.label != HOST:
        paths += _unlisted_in_hub(places.hub.path, listed[PlaceName.HUB])
    return tuple(sorted(paths))


def _next_path(paths: deque[str]) -> str | None:
    try:
        return paths.popleft()
    except IndexError:  # empty, perhaps because another thread took the last path
        return None


def _verify_one(
    same: Sequence[CheckedFile],
    buffer: memoryview,
    counter: "_ProgressCounter",
    remedies: Remedies,
    git_sha1s: Mapping[str, str],
) -> dict[CheckedFile, Problem]:
    """Return the problems of listed files that share one real path."""
    git_size = same[0].record.bytes if any(file.record.path in git_sha1s for file in same) else None
    try:
        size, sha256, git_sha1 = _size_and_hashes(same[0].real_path, buffer, counter, git_size)
    except OSError as error:
        return {file: problem_from_error(file.path, error, remedies) for file in same}
    problems: dict[CheckedFile, Problem] = {}
    for file in same:
        if size != file.record.bytes:
            detail = f"had {size} bytes when it was read, where {file.record.bytes} should be"
        elif sha256 != file.record.sha256:
            detail = f"has the sha256 {sha256} where {file.record.sha256} should be"
        elif (locked := git_sha1s.get(file.record.path, git_sha1)) != git_sha1:
            detail = f"has the git sha1 {git_sha1} where the lock has {locked}"
        else:
            continue
        problems[file] = Problem(file.path, Reason.CACHE_CORRUPT, detail, remedies.for_corrupt())
    return problems


def _size_and_hashes(
    path: str, buffer: memoryview, counter: "_ProgressCounter", git_size: int | None
) -> tuple[int, str, str | None]:
    """Return size, sha256, and git's sha1 for the size that git hashes before the content (None: no sha1)."""
    digest, size = hashlib.sha256(), 0
    git = None if git_size is None else hashlib.sha1(b"blob %d\0" % git_size, usedforsecurity=False)
    with open_regular_file(path) as stream:
        while (count := stream.readinto(buffer)) and not counter.stop:
            digest.update(buffer[:count])
            if git is not None:
                git.update(buffer[:count])
            size += count
            counter.add(count)
    return size, digest.hexdigest(), None if git is None else git.hexdigest()


class _ProgressCounter:
    """Counts the bytes of all threads, and holds their stop flag.

    Attributes:
        stop: set by whichever thread fails first; all threads read it.
    """

    def __init__(self, total: int, progress: ProgressCallback | None) -> None:
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
            except OSError:  # stderr was closed; this must not look like a file that cannot be read
                self._progress = None


def _core_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _listed_paths(places: Places) -> dict[PlaceName, set[str]]:
    """Return the paths that any manifest or record lists, of this catalog or another, by place."""
    listed: dict[PlaceName, set[str]] = {name: set() for name in PlaceName}
    for record in _records(places.own.path):
        for file in record.files:
            listed[file.place].add(file.path)
    return listed


def _records(own: Path) -> Iterator[ModelRecord]:
    for entry in _entries(own / "manifests"):
        try:
            yield from parse_manifest(read_small_file(entry.path)).models
        except (OSError, ManifestInvalid):
            continue
    for entry in _entries(own / "models"):
        try:
            yield parse_model_record(read_small_file(entry.path))
        except (OSError, ManifestInvalid):
            continue


def _unlisted_in_spacy(places: Places, listed: set[str]) -> Iterator[str]:
    root, on_host = places.spacy.path, places.label == HOST
    our_packages = {path.split("/")[1] for path in listed if path.startswith(f"{PACKAGES}/")}
    for entry in _entries(root / PACKAGES):
        if entry.name in our_packages:
            yield from _unlisted_below(root, f"{PACKAGES}/{entry.name}", listed, with_bytecode=not on_host)
        elif not entry.name.startswith("."):  # packages that are being unpacked, and our notes
            yield f"{entry.path}/"
    for entry in _entries(root):
        if entry.name in _STARTUP_MODULES or not (on_host or _is_ours(root, entry)):
            yield f"{entry.path}/" if entry.is_dir(follow_symlinks=False) else entry.path


def _is_ours(root: Path, entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a link to a package of ours, or a copy of one where links do not work."""
    if entry.name == PACKAGES:
        return True
    if entry.is_symlink():
        return PACKAGES in Path(os.readlink(entry.path)).parts
    return os.path.exists(root / PACKAGES / COPY_MARKERS / entry.name)


def _unlisted_in_hub(root: Path, listed: set[str]) -> Iterator[str]:
    """Return unlisted files of listed commits, and repositories and commits without any listed file."""
    commits = {"/".join(path.split("/")[:3]) for path in listed}
    repositories = {commit.split("/")[0] for commit in commits}
    for entry in _entries(root):
        if entry.name.startswith(_REPOSITORY_PREFIXES) and entry.name not in repositories:
            yield f"{entry.path}/"
    for repository in repositories:
        for entry in _entries(root / repository / "snapshots"):
            commit = f"{repository}/snapshots/{entry.name}"
            if commit in commits:
                yield from _unlisted_below(root, commit, listed, with_bytecode=True)
            else:
                yield f"{entry.path}/"


def _unlisted_in_forms(places: Places) -> Iterator[str]:
    """Return what no record of a prepared form lists. Staging folders begin with a dot."""
    folders = {str(folder.path): folder for folder in list_folders(places)}
    for key in _entries(prepared_folder(places)):
        for entry in _entries(Path(key.path)):
            if entry.path not in folders and not entry.name.startswith("."):
                yield f"{entry.path}/" if entry.is_dir(follow_symlinks=False) else entry.path
    for path, folder in folders.items():
        try:
            form = read_stored_form(folder).form
        except ModelCacheError:
            yield f"{path}/"
            continue
        listed = {f"{folder.path.name}/{name}" for name in (RECORD_NAME, *(file.path for file in form.files))}
        yield from _unlisted_below(folder.path.parent, folder.path.name, listed, with_bytecode=True)


def _unlisted_below(root: Path, folder: str, listed: set[str], *, with_bytecode: bool) -> Iterator[str]:
    for directory, folders, names in os.walk(root / folder):
        if not with_bytecode and _BYTECODE_FOLDER in folders:
            folders.remove(_BYTECODE_FOLDER)  # written by other projects that import the package
        below = os.path.relpath(directory, root).replace(os.sep, "/")
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        yield from (
            os.path.join(directory, name) for name in (*names, *links) if f"{below}/{name}" not in listed
        )


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder, sorted by name; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
