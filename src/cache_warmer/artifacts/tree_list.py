"""The hub client's list of a commit (``trees/<commit>.json``, format 1), of the selected files alone.

With the full list the client's offline calls would fail on a filtered snapshot; with none, a call by commit
fails. Read and written by ``huggingface_hub._tree_cache`` since 1.22.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cache_warmer.artifacts.artifact import Download
from cache_warmer.transfer.staging import final_name

_FORMAT_VERSION = 1


def tree_list(downloads: Sequence[Download]) -> bytes:
    """Return the list. No Xet hashes: by them an online client would leave the mirror."""
    files = {download.name: _entry(download) for download in downloads}
    return json.dumps({"format_version": _FORMAT_VERSION, "files": files}, indent=1, sort_keys=True).encode()


def _entry(download: Download) -> dict[str, int | str | None]:
    etag, size = final_name(download.staging.name), download.expected.bytes
    if len(etag) == 64:  # a big file's blob is named by its sha256, a small one's by git's sha1
        return {"size": size, "blob_id": download.git_blob, "lfs_sha256": etag, "lfs_size": size}
    return {"size": size, "blob_id": download.git_blob}


class BlobNames:
    """What the lists of a hub cache call each file's blob. Reads each list once."""

    def __init__(self, hub: Path) -> None:
        self._hub = hub
        self._read: dict[str, Mapping[str, Any]] = {}

    def of(self, path: str) -> str:
        """Return the name for ``models--ORG--NAME/snapshots/<commit>/<file>``; empty if no list says it."""
        repository, _, rest = path.partition("/snapshots/")
        commit, _, name = rest.partition("/")
        entry = self._files(f"{repository}/trees/{commit}.json").get(name)
        if not isinstance(entry, dict):
            return ""
        return str(entry.get("lfs_sha256") or entry.get("blob_id") or "")

    def _files(self, path: str) -> Mapping[str, Any]:
        if path not in self._read:
            try:
                files = json.loads((self._hub / path).read_bytes())["files"]
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                files = {}
            self._read[path] = files if isinstance(files, dict) else {}
        return self._read[path]
