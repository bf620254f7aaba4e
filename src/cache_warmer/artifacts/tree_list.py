"""The hub client's list of a commit (``trees/<commit>.json``, format 1), of the selected files alone.

With the full list the client's offline calls would fail on a filtered snapshot; with none, a call by commit
fails. Read and written by ``huggingface_hub._tree_cache`` since 1.22.
"""

import json
from collections.abc import Sequence

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
