"""Find the snapshot files, blobs and names of one hub repository that no retained generation needs.

`scan_repository` reads the folder into a value. `plan_repository` is a pure function of that value.

Other programs use the same layout, so a commit is deleted only if it is the warmer's alone. It is kept whole (a hold)
if it has a file that no catalog of ours brought, or, on a host, one that the warmer found there and did not fetch; if a
ref that is not ours names it (`refs/v1`; on a host also a `refs/main` that another project wrote); or, on a host, if
the hub client listed it in `trees`.

NFS keeps a deleted file that is still open under a name `.nfs…`, and removes it when it is closed. Such files are left
out.

A blob is deleted if the links to it are deleted and no other link leads to it. In a cache of our own a blob that no
link leads to is deleted as well once it is old; on a host another program may be about to link it.
"""

import errno
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cache_warmer.gc.plan import Deletion, Hold, ItemKind, NameUpdate, PlanSection, TreeListUpdate
from model_cache.file_io import read_small_file

# Names of files that are being written, and of those that NFS removes by itself.
_TEMPORARY_NAME: Final = re.compile(r"\..*\.tmp|.*\.incomplete|\.nfs.*")
# Of a file in `refs`, which holds the 40 characters of a commit.
_MAX_REF_BYTES: Final = 4096
_UNREFERENCED: Final = "no kept generation lists it"


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """A file or link below `snapshots`.

    Attributes:
        blob: the name of the blob that it leads to; empty: it is a file, or leads elsewhere.
        bytes: the bytes that deleting it frees.
    """

    blob: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob: the bytes that deleting it frees, and its modification time in seconds since the epoch."""

    bytes: int
    written: float


@dataclass(frozen=True, slots=True)
class Repository:
    """Content of the folder of a repository.

    Attributes:
        folder: the folder of the repository.
        entries: the files and links, by their path below `snapshots`: `<commit>/<path>`.
        blobs: the blobs by name, without those that are still being written.
        refs: commits by their path below `refs`.
        listed_commits: commits with a list in `trees`.
    """

    folder: Path
    entries: Mapping[str, SnapshotEntry]
    blobs: Mapping[str, Blob]
    refs: Mapping[str, str]
    listed_commits: frozenset[str]


@dataclass(frozen=True, slots=True)
class RepositoryRetention:
    """Files that must be retained of a repository, and limits of the deletion.

    Attributes:
        known: paths below `snapshots` that are ours to delete: the warmer fetched them for a catalog.
        retained: those of them that a retained generation needs.
        main: the commit that `refs/main` is pointed at if its own is deleted; None: it is removed.
        own_main_commits: commits that the warmer wrote to `refs/main`; None: all (a cache of our own).
        unlinked_before: blobs without a link are deleted if they were written before that time, in seconds since the
            epoch; None: they stay (a host).
        found: paths below `snapshots` that catalogs of ours list and that are not ours to delete.
    """

    known: frozenset[str]
    retained: frozenset[str]
    main: str | None
    own_main_commits: frozenset[str] | None
    unlinked_before: float | None
    found: frozenset[str] = frozenset()

    def owns_ref(self, name: str, commit: str) -> bool:
        """Return whether the warmer wrote the ref of that name with that commit."""
        return name == "main" and (self.own_main_commits is None or commit in self.own_main_commits)


def scan_repository(folder: Path) -> Repository:
    """Read the folder of a repository.

    A folder that is a link, or whose parts are links, is not ours: it counts as empty.

    Raises:
        OSError: a file or a folder cannot be read.
    """
    snapshots, blobs, refs, trees = (folder / name for name in ("snapshots", "blobs", "refs", "trees"))
    if any(path.is_symlink() for path in (folder, snapshots, blobs, refs, trees)):
        return Repository(folder, {}, {}, {}, frozenset())
    real_blobs = os.path.realpath(blobs)
    finished = [path for path in list_folder(blobs) if not _TEMPORARY_NAME.fullmatch(path.name)]
    return Repository(
        folder,
        {
            path.relative_to(snapshots).as_posix(): _snapshot_entry(path, real_blobs)
            for path in _files_below(snapshots)
        },
        {path.name: Blob(freed_bytes(path), path.lstat().st_mtime) for path in finished if not path.is_dir()},
        {path.relative_to(refs).as_posix(): _read_ref(path) for path in _files_below(refs)},
        frozenset(path.stem for path in list_folder(trees) if path.suffix == ".json"),
    )


def plan_repository(repository: Repository, retention: RepositoryRetention) -> PlanSection:
    """Return the deletions in a repository, the name updates and the holds."""
    unneeded = {path for path in retention.known - retention.retained if path in repository.entries}
    unneeded_found = {path for path in retention.found - retention.retained if path in repository.entries}
    commits = {_commit(path) for path in (*unneeded, *unneeded_found)}
    held = dict(_held_commits(repository, retention, commits))
    deleted = {path for path in unneeded if _commit(path) not in held}
    remaining = {path: entry for path, entry in repository.entries.items() if path not in deleted}
    needed_commits = {_commit(path) for path in (*retention.retained, *remaining)}
    gone_commits = {_commit(path) for path in retention.known} - needed_commits - set(held)
    linked_blobs = {entry.blob for entry in remaining.values()}
    folder, snapshots = repository.folder, repository.folder / "snapshots"
    return PlanSection(
        name_updates=tuple(_name_updates(repository, retention, gone_commits)),
        deletions=(
            *(
                Deletion(ItemKind.BLOB, folder / "blobs" / name, repository.blobs[name].bytes, why)
                for name, why in _deleted_blobs(repository, retention, deleted, linked_blobs)
            ),
            *(
                Deletion(ItemKind.FILE, snapshots / path, repository.entries[path].bytes, _UNREFERENCED)
                for path in sorted(deleted)
            ),
            *(
                Deletion(ItemKind.LIST, folder / "trees" / f"{commit}.json", 0, "its commit is deleted")
                for commit in sorted(gone_commits & repository.listed_commits)
                if retention.own_main_commits is None
            ),
        ),
        empty_folders=tuple(_empty_folders(repository, deleted, gone_commits)),
        holds=tuple(Hold(snapshots / commit, why) for commit, why in sorted(held.items())),
        tree_list_updates=tuple(_tree_list_updates(repository, retention, deleted, gone_commits)),
    )


def _tree_list_updates(
    repository: Repository,
    retention: RepositoryRetention,
    deleted: Collection[str],
    gone_commits: Collection[str],
) -> Iterator[TreeListUpdate]:
    """Yield the lists of commits of which only some files are deleted. On a host no list is ours."""
    if retention.own_main_commits is not None:
        return
    for commit in sorted({_commit(path) for path in deleted} & repository.listed_commits - set(gone_commits)):
        gone = frozenset(path.partition("/")[2] for path in deleted if _commit(path) == commit)
        yield TreeListUpdate(PurePosixPath(repository.folder.name) / "snapshots" / commit, gone)


def freed_bytes(path: Path) -> int:
    """Return the bytes that deleting a file, or a folder with all its files, frees.

    A link frees nothing, and neither does a file with another hard link.

    Raises:
        OSError: the file, or a file below the folder, disappeared or cannot be read.
    """
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode):
        return sum(freed_bytes(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)
    return found.st_size if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else 0


def list_folder(folder: Path) -> list[Path]:
    """Return the paths in a folder, sorted; none if it is a link, no folder, or absent.

    Raises:
        OSError: it cannot be read.
    """
    if folder.is_symlink():
        return []
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _held_commits(
    repository: Repository, retention: RepositoryRetention, commits: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield each commit that others use, with the reason for keeping it."""
    for commit in commits:
        foreign = [
            path
            for path in repository.entries
            if _commit(path) == commit and path not in retention.known and path not in retention.found
        ]
        found = any(_commit(path) == commit for path in retention.found if path in repository.entries)
        foreign_refs = [
            name
            for name, named in repository.refs.items()
            if named == commit and not retention.owns_ref(name, commit)
        ]
        if foreign:
            yield commit, f"another program keeps {Path(min(foreign)).name} there"
        elif found:
            yield commit, "its files were found here, not fetched by the warmer"
        elif foreign_refs:
            yield commit, f"refs/{min(foreign_refs)}, which is not ours, names it"
        elif retention.own_main_commits is not None and commit in repository.listed_commits:
            yield commit, "another program fetched it, too"


def _deleted_blobs(
    repository: Repository,
    retention: RepositoryRetention,
    deleted: Collection[str],
    linked: Collection[str],
) -> Iterator[tuple[str, str]]:
    """Yield the name of each blob to delete, with the reason."""
    unlinked_next = {repository.entries[path].blob for path in deleted}
    for name, blob in sorted(repository.blobs.items()):
        if name in linked:
            continue
        if name in unlinked_next:
            yield name, _UNREFERENCED
        elif retention.unlinked_before is not None and blob.written < retention.unlinked_before:
            yield name, "no link leads to it"


def _name_updates(
    repository: Repository, retention: RepositoryRetention, gone_commits: Collection[str]
) -> Iterator[NameUpdate]:
    main = repository.refs.get("main")
    if main is not None and main in gone_commits and retention.owns_ref("main", main):
        yield NameUpdate(repository.folder / "refs" / "main", retention.main)


def _empty_folders(
    repository: Repository, deleted: Collection[str], gone_commits: Collection[str]
) -> list[Path]:
    """Return the folders that may be empty after the deletions, inner ones first."""
    if not deleted and not gone_commits:
        return []
    snapshots = repository.folder / "snapshots"
    inner = {snapshots / commit for commit in gone_commits} | {
        parent
        for path in deleted
        for parent in (snapshots / path).parents
        if parent != snapshots and parent.is_relative_to(snapshots)
    }
    outer = [snapshots, *(repository.folder / name for name in ("blobs", "refs", "trees")), repository.folder]
    return [*sorted(inner, key=lambda path: -len(path.parts)), *outer]


def _snapshot_entry(path: Path, blobs: str) -> SnapshotEntry:
    """Return the entry at a path. `blobs` is the real path of the repository's blobs."""
    try:
        target = os.path.normpath(os.path.join(path.parent, os.readlink(path)))
    except OSError:  # a file
        return SnapshotEntry("", freed_bytes(path))
    is_blob = os.path.realpath(os.path.dirname(target)) == blobs
    return SnapshotEntry(os.path.basename(target) if is_blob else "", 0)


def _read_ref(path: Path) -> str:
    """Return the commit that a ref names; empty if it is no regular file, or too large to be a ref."""
    try:
        return read_small_file(path, _MAX_REF_BYTES).decode("utf-8", "replace").strip()
    except OSError as error:
        if error.errno in (errno.EFBIG, errno.EINVAL, errno.EISDIR, errno.ENOENT, errno.ELOOP):
            return ""
        raise


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files and links below a folder; links are not followed."""
    for path in list_folder(folder):
        if _TEMPORARY_NAME.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files_below(path)
        else:
            yield path


def _commit(path: str) -> str:
    return path.partition("/")[0]
