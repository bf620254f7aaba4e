"""The JSON documents in which the hub describes a repository and its files."""

import hashlib
from collections.abc import Iterable
from pathlib import PurePosixPath

from .repository import Repository, RepositoryFile


def model_info(repository: Repository, *, with_blobs: bool) -> dict[str, object]:
    """Return a repository's description; with blobs also the sizes and hashes of its files."""
    return {
        "_id": repository.commit[:24],
        "id": repository.id,
        "modelId": repository.id,
        "sha": repository.commit,
        "private": False,
        "gated": "manual" if repository.token is not None else False,
        "disabled": False,
        "tags": [],
        "usedStorage": sum(file.size for file in repository.files.values()),
        "siblings": [_sibling(file, with_blobs=with_blobs) for file in repository.files.values()],
    }


def _sibling(file: RepositoryFile, *, with_blobs: bool) -> dict[str, object]:
    if not with_blobs:
        return {"rfilename": file.path}
    # Here the content's hash is called sha256; in a tree the same thing is called oid.
    lfs = (
        {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)} if file.is_lfs else None
    )
    blob = {"rfilename": file.path, "size": file.size, "blobId": file.git_sha1}
    return blob if lfs is None else {**blob, "lfs": lfs}


def entries_below(repository: Repository, folder: str, recursive: bool) -> list[dict[str, object]]:
    """Return the entries in a folder ("" is the top) of a tree, in the order of their paths."""
    paths = sorted([*repository.folders, *repository.files])
    if recursive:
        chosen = [path for path in paths if not folder or path.startswith(f"{folder}/")]
    else:
        chosen = [path for path in paths if str(PurePosixPath(path).parent) == (folder or ".")]
    return [_entry(repository, path) for path in chosen]


def _entry(repository: Repository, path: str) -> dict[str, object]:
    file = repository.files.get(path)
    if file is None:  # Not git's own name for the folder, which nothing reads, but a stable one.
        name = hashlib.sha1(f"{repository.commit}/{path}".encode(), usedforsecurity=False).hexdigest()
        return {"type": "directory", "path": path, "size": 0, "oid": name}
    entry: dict[str, object] = {"type": "file", "path": path, "size": file.size, "oid": file.git_sha1}
    if file.is_lfs:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return entry


def entries_at(repository: Repository, paths: Iterable[str]) -> list[dict[str, object]]:
    """Return the entries at those of the paths that exist."""
    return [
        _entry(repository, path) for path in paths if path in repository.files or path in repository.folders
    ]
