"""Names and lists in the hub client's cache layout beside the files themselves.

* Mutable references: `refs/main`. In a cache of our own it follows the last generation that was warmed. On a host it
  is ours only if it did not exist or we wrote it, which a note beside our manifests (`refs/<folder>.json`) records:
  another project's is never moved. (`former_folders` has the names for older sentence-transformers.)
* Blob names: the name under which a hub cache stores the content of a file. An export carries them along.
* Tree lists: `trees/<commit>.json`, format 1, read and written by `huggingface_hub._tree_cache` since 1.22. Ours has
  the files that are there: with the full list the client's offline calls would fail on a filtered snapshot, with
  none a call by commit would fail. `update_tree_list` writes it for every command. It leaves out the hub's Xet hashes:
  with these an online client would bypass the mirror.

All of these files may have been written by others, so they are read with a size limit, and content that cannot be
parsed counts as missing or as another project's.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final

from cache_warmer.disk import atomic
from cache_warmer.records import read_all_records
from cache_warmer.transfer.hashing import hash_file
from model_cache.file_io import read_small_file
from model_cache.json_values import parse_json, parse_json_object
from model_cache.manifest import FileRecord
from model_cache.places import HOST, PlaceName, Places
from model_cache.safe_names import unsafe_reason

# Git's sha1 of a small file, the sha256 of a big one.
BLOB_NAME: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Bytes above which the hub stores a file under LFS, where its name is its sha256.
LFS_THRESHOLD: Final = 10_000_000
# Hex digits of the two hashes.
_SHA1_DIGITS, _SHA256_DIGITS = 40, 64
_TREE_FORMAT: Final = 1
# Bytes: a reference is a commit of 40 bytes, and a note lists some hundred of them at most.
_MAX_REFERENCE_BYTES, _MAX_NOTE_BYTES = 4096, 1 << 20


def update_main_ref(folder: Path, commit: str, places: Places) -> None:
    """Point `refs/main` of a repository's folder at the commit, if it is ours to move.

    Raises:
        OSError: the reference or our note of it cannot be written.
    """
    path = folder / "refs" / "main"
    if places.label == HOST and path.is_dir():  # no program writes that, so a user did
        return
    content = _read_if_present(path, _MAX_REFERENCE_BYTES)
    if content == commit.encode():
        return
    note = _note_path(places, folder.name)
    own_commits = read_own_commits(places, folder.name)
    current = None if content is None else content.decode("utf-8", "replace").strip()
    if places.label == HOST and current is not None and current not in own_commits:
        return
    # the note first: after a crash between the two writes our own reference must not look like another project's
    _write_note(note, {*own_commits, commit}, places)
    try:
        # without a line break, which the hub client would take as a part of the commit
        atomic.write_file(path, commit.encode(), places.boundary_of(path))
    except OSError:
        # so that the same commit, written by another project later, is not ours
        _write_note(note, own_commits, places)
        raise


def read_own_commits(places: Places, folder_name: str) -> frozenset[str]:
    """Return the commits that we let `refs/main` of a repository name, from our note; empty if that is damaged."""
    try:
        commits = parse_json(read_small_file(_note_path(places, folder_name), _MAX_NOTE_BYTES))
    except (OSError, ValueError):
        return frozenset()
    return frozenset(filter(_is_text, commits)) if isinstance(commits, list) else frozenset()


class BlobNames:
    """Names of the blobs of one hub cache. Reads each tree list once."""

    def __init__(self, hub: Path) -> None:
        self._hub = hub
        self._tree_lists: dict[str, Mapping[str, Any]] = {}

    def of(self, file: FileRecord) -> str:
        """Return the blob name of a file: a sha256, or git's sha1.

        It comes from the file's link; where there are no links, from the tree list; else from size and content.

        Raises:
            OSError: the file must be read for it and cannot be.
        """
        path = self._hub / file.path
        try:
            link_target = Path(os.readlink(path)).name
        except OSError:
            link_target = ""
        for name in (link_target, self._listed_name(file.path)):
            if BLOB_NAME.fullmatch(name) and (len(name) == _SHA1_DIGITS or name == file.sha256):
                return name
        if file.bytes > LFS_THRESHOLD:
            return file.sha256
        return hash_file(path, file.bytes)[1]

    def _listed_name(self, path: str) -> str:
        repository, _, rest = path.partition("/snapshots/")
        commit, _, name = rest.partition("/")
        entry = self._tree_list(f"{repository}/trees/{commit}.json").get(name)
        if not isinstance(entry, dict):
            return ""
        return str(entry.get("lfs_sha256") or entry.get("blob_id") or "")

    def _tree_list(self, path: str) -> Mapping[str, Any]:
        if path not in self._tree_lists:
            self._tree_lists[path] = read_tree_list(self._hub / path)
        return self._tree_lists[path]


def read_tree_list(path: Path) -> Mapping[str, Any]:
    """Return the files of a tree list, by name; empty if there is none that can be parsed."""
    try:
        files = parse_json_object(read_small_file(path)).get("files")
    except (OSError, ValueError):
        return {}
    return files if isinstance(files, dict) else {}


def update_tree_list(
    places: Places,
    snapshot: PurePosixPath,
    files: Iterable[FileRecord] = (),
    blob_names: Mapping[str, str] = MappingProxyType({}),
    gone: Collection[str] = frozenset(),
) -> None:
    """Make the tree list of a commit name exactly the files that are there; without any, it is removed.

    These are the files of all records of the cache, of whichever catalog, and those that the list has already (another
    program may have fetched more of the commit). The hub client's offline calls look up every listed file: a name
    without a file makes all of them fail, and a file without a name is not found. On a host nothing is written, because
    other projects would take the list for the full one.

    Args:
        places: of the cache.
        snapshot: folder of the commit in the hub place.
        files: verified files that have no record yet; those of other commits are ignored.
        blob_names: names of blobs by path in the place, where they are known.
        gone: names, below the snapshot, of files that will be deleted next.

    Raises:
        OSError: the list cannot be written.
    """
    if places.label == HOST:
        return
    folder = places.hub.path / snapshot
    path = folder.parents[1] / "trees" / f"{folder.name}.json"
    prefix = f"{snapshot}/"
    recorded: dict[str, FileRecord] = {}
    for file in chain(files, *(record.files for record in read_all_records(places))):
        if file.place is PlaceName.HUB and file.path.startswith(prefix):
            recorded.setdefault(file.path.removeprefix(prefix), file)
    former = {name: entry for name, entry in read_tree_list(path).items() if isinstance(entry, dict)}
    names = {
        name
        for name in {*recorded, *former} - set(gone)
        if not unsafe_reason(name) and (folder / name).is_file()
    }
    if not names:
        path.unlink(missing_ok=True)
        return
    blobs = BlobNames(places.hub.path)
    entries = {name: entry for name, entry in former.items() if name in names}
    for name, file in recorded.items():
        if name in names:
            blob_name = blob_names.get(file.path) or blobs.of(file)
            entries[name] = _tree_entry(file.bytes, git_blob(file, blob_name), blob_name)
    content = _dump_tree_list(entries)
    if not atomic.has_content(path, content):
        atomic.write_file(path, content, places.boundary_of(path))


def _note_path(places: Places, folder_name: str) -> Path:
    return places.own.path / "refs" / f"{folder_name}.json"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def dump_note(commits: Collection[str]) -> bytes:
    """Return the content of our note of the commits that we let `refs/main` name."""
    return json.dumps(sorted(commits)).encode() + b"\n"


def _write_note(note: Path, commits: Collection[str], places: Places) -> None:
    atomic.write_file(note, dump_note(commits), places.boundary_of(note))


def _read_if_present(path: Path, limit: int) -> bytes | None:
    """Return the content of a file; None if there is none, empty if it is no small regular file."""
    try:
        return read_small_file(path, limit)
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as error:
        if error.errno not in (errno.EFBIG, errno.EINVAL, errno.ELOOP, errno.ENOTDIR):
            raise
        return b""


def dump_tree_list(files: Mapping[str, tuple[FileRecord, str]]) -> bytes:
    """Return the tree list of a commit from its files by name, each with the name of its blob."""
    return _dump_tree_list(
        {name: _tree_entry(file.bytes, git_blob(file, blob), blob) for name, (file, blob) in files.items()}
    )


def _dump_tree_list(files: dict[str, Any]) -> bytes:
    return json.dumps({"format_version": _TREE_FORMAT, "files": files}, indent=1, sort_keys=True).encode()


def _tree_entry(size: int | None, git_blob: str | None, blob_name: str) -> dict[str, int | str | None]:
    if (
        len(blob_name) == _SHA256_DIGITS
    ):  # a big file's blob is named by its sha256, a small one's by git's sha1
        return {"size": size, "blob_id": git_blob, "lfs_sha256": blob_name, "lfs_size": size}
    return {"size": size, "blob_id": git_blob}


def git_blob(file: FileRecord, blob_name: str) -> str:
    """Return git's name of what a repository stores: of a big file its pointer (git-lfs specification)."""
    if len(blob_name) == _SHA1_DIGITS:
        return blob_name
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256}\nsize {file.bytes}\n".encode()
    )
    return hashlib.sha1(b"blob %d\0%s" % (len(pointer), pointer), usedforsecurity=False).hexdigest()
