"""How a hub cache calls the blob of each file: what an export carries along, and a list of a commit needs."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache_warmer.transfer.hashing import hash_file
from model_cache.manifest import FileRecord

BLOB_NAME = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""Git's sha1 of a small file, the sha256 of a big one."""
_SMALL_BYTES = 10_000_000
"""The hub keeps larger files under LFS, where a file is named by its sha256."""


class BlobNames:
    """Of one hub cache. Reads each list of a commit once."""

    def __init__(self, hub: Path) -> None:
        self._hub = hub
        self._read: dict[str, Mapping[str, Any]] = {}

    def of(self, file: FileRecord) -> str:
        """Return the sha256 or git's sha1: from the file's link, else (where there are none) as listed, else by size.

        Raises ``OSError`` where that takes reading the file.
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
    """Return the files of a list (``trees/<commit>.json``); nothing where there is none that can be read."""
    try:
        files = json.loads(path.read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return files if isinstance(files, dict) else {}
