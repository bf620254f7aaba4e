"""The hub client's list of a commit (``trees/<commit>.json``, format 1), of the selected files alone.

With the full list the client's offline calls would fail on a filtered snapshot; with none, a call by commit
fails. Read and written by ``huggingface_hub._tree_cache`` since 1.22.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from cache_warmer.artifacts.artifact import Download
from cache_warmer.transfer.staging import final_name
from model_cache.manifest import FileRecord

_FORMAT_VERSION = 1


def tree_list(downloads: Sequence[Download]) -> bytes:
    """Return the list. No Xet hashes: by them an online client would leave the mirror."""
    return _dump({download.name: _entry(download) for download in downloads})


def recorded_list(
    files: Iterable[tuple[str, FileRecord, str]], kept: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> bytes:
    """Return the same list without asking the hub: from each file's name, record, and name of its blob.

    ``kept`` are entries of a former list, by name; those of ``files`` replace them.
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
