"""The names in the hub's layout that move: `refs/main`, and the folder of older sentence-transformers.

In a cache of our own both follow the last generation that was warmed. On a host they are ours only if they
were absent or we wrote them, which a note beside our manifests remembers: another project's are never moved.

How a hub cache calls the blob of each file: what an export carries along, and a list of a commit needs.

The hub client's list of a commit (`trees/<commit>.json`, format 1), of the selected files alone.

With the full list the client's offline calls would fail on a filtered snapshot; with none, a call by commit
fails. Read and written by `huggingface_hub._tree_cache` since 1.22.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cache_warmer.artifacts.artifact import Download
from cache_warmer.disk import atomic
from cache_warmer.transfer.hashing import hash_file
from cache_warmer.transfer.staging import final_name
from model_cache.catalog.catalog import Model, Task
from model_cache.manifest import FileRecord
from model_cache.places import HOST, Places

_SENTENCE_TRANSFORMERS: Final = frozenset({Task.EMBEDDING, Task.PARAPHRASE})


def point_reference(folder: Path, commit: str, places: Places) -> None:
    """Let `refs/main` of a repository's folder name the commit, if it is ours to move.

    No line break at its end: the hub client takes one for a part of the commit.
    """
    path = folder / "refs" / "main"
    if places.label == HOST and path.is_dir():
        return
    current = _read(path)
    if current == commit.encode():
        return
    note = places.own.path / "refs" / f"{folder.name}.json"
    ours = _noted(note)
    named = None if current is None else current.decode("utf-8", "replace").strip()
    if places.label == HOST and named is not None and named not in ours:
        return
    # noted first: a crash between the two writes must not make our own reference look foreign
    _note(note, {*ours, commit})
    try:
        atomic.write_file(path, commit.encode())
    except OSError:
        _note(note, ours)  # nor may one that another project writes later look like ours
        raise


def point_torch_folder(model: Model, folder: Path, places: Places) -> None:
    """Link a sentence-transformers model's hub folder below `TORCH_HOME`, where older versions look."""
    if model.task not in _SENTENCE_TRANSFORMERS:
        return
    link = places.torch.path / "sentence_transformers" / folder.name
    if _looks_like_ours(link) or not os.path.lexists(link):
        atomic.place_link(
            link, folder
        )  # without links there is nothing to put: a copy would double the model


def _looks_like_ours(link: Path) -> bool:
    """A relative link to a folder of the same name, as we write them; another's is left alone."""
    try:
        target = os.readlink(link)
    except OSError:
        return False
    return not os.path.isabs(target) and os.path.basename(target) == link.name


def _note(note: Path, commits: Collection[str]) -> None:
    atomic.write_file(note, json.dumps(sorted(commits)).encode() + b"\n")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None


def _noted(note: Path) -> frozenset[str]:
    content = _read(note)
    try:
        commits = json.loads(content) if content is not None else []
    except ValueError:
        return frozenset()
    return frozenset(commit for commit in commits if isinstance(commit, str))


# Git's sha1 of a small file, the sha256 of a big one.
BLOB_NAME: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# The hub keeps larger files under LFS, where a file is named by its sha256.
_SMALL_BYTES: Final = 10_000_000


class BlobNames:
    """Of one hub cache. Reads each list of a commit once."""

    def __init__(self, hub: Path) -> None:
        self._hub = hub
        self._read: dict[str, Mapping[str, Any]] = {}

    def of(self, file: FileRecord) -> str:
        """Return the sha256 or git's sha1: from the file's link, else (where there are none) as listed, else by size.

        Raises `OSError` where that takes reading the file.
        """
        path = self._hub / file.path
        try:
            linked = Path(os.readlink(path)).name
        except OSError:
            linked = ""
        for said in (linked, self._listed(file.path)):
            if BLOB_NAME.fullmatch(said) and (len(said) == 40 or said == file.sha256):
                return said
        if file.bytes > _SMALL_BYTES:
            return file.sha256
        return hash_file(path, file.bytes)[1]

    def _listed(self, path: str) -> str:
        repository, _, rest = path.partition("/snapshots/")
        commit, _, name = rest.partition("/")
        entry = self._list(f"{repository}/trees/{commit}.json").get(name)
        if not isinstance(entry, dict):
            return ""
        return str(entry.get("lfs_sha256") or entry.get("blob_id") or "")

    def _list(self, path: str) -> Mapping[str, Any]:
        if path not in self._read:
            self._read[path] = read_list(self._hub / path)
        return self._read[path]


def read_list(path: Path) -> Mapping[str, Any]:
    """Return the files of a list (`trees/<commit>.json`); nothing where there is none that can be read."""
    try:
        files = json.loads(path.read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return files if isinstance(files, dict) else {}


_FORMAT_VERSION: Final = 1


def tree_list(downloads: Sequence[Download]) -> bytes:
    """Return the list. No Xet hashes: by them an online client would leave the mirror."""
    return _dump({download.name: _entry(download) for download in downloads})


def recorded_list(
    files: Iterable[tuple[str, FileRecord, str]], kept: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> bytes:
    """Return the same list without asking the hub: from each file's name, record, and name of its blob.

    `kept` are entries of a former list, by name; those of `files` replace them.
    """
    entries = {name: _listed(file.bytes, _git_blob(file, etag), etag) for name, file, etag in files}
    return _dump({**kept, **entries})


def _dump(files: dict[str, Any]) -> bytes:
    return json.dumps({"format_version": _FORMAT_VERSION, "files": files}, indent=1, sort_keys=True).encode()


def _entry(download: Download) -> dict[str, int | str | None]:
    return _listed(download.expected.bytes, download.git_blob, final_name(download.staging.name))


def _listed(size: int | None, git_blob: str | None, etag: str) -> dict[str, int | str | None]:
    if len(etag) == 64:  # a big file's blob is named by its sha256, a small one's by git's sha1
        return {"size": size, "blob_id": git_blob, "lfs_sha256": etag, "lfs_size": size}
    return {"size": size, "blob_id": git_blob}


def _git_blob(file: FileRecord, etag: str) -> str:
    """Return git's name of what a repository stores: of a big file the pointer (git-lfs specification)."""
    if len(etag) == 40:
        return etag
    text = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256}\nsize {file.bytes}\n".encode()
    )
    return hashlib.sha1(b"blob %d\0%s" % (len(text), text), usedforsecurity=False).hexdigest()
