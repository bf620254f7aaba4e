"""Picks the files of a commit that the catalog names, and joins what catalog, lock and hub say of each."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from cache_warmer.artifacts.artifact import Expected
from cache_warmer.errors import ContentMismatch, HubNotFound
from cache_warmer.hub.connection import RemoteFile
from model_cache.catalogs.lock import LockedFile
from model_cache.safe_names import why_unsafe

_GIT_SHA1, _SHA256 = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}")


def select(files: Sequence[RemoteFile], patterns: Sequence[str], label: str) -> tuple[RemoteFile, ...]:
    """Return the files that a name or pattern of the catalog picks, in order of name.

    As in the hub client, ``*`` also passes a slash.

    Raises:
        HubNotFound: a name or pattern picks nothing.
        ContentMismatch: the hub lists a name, or a hash, that must not be used in a path.
    """
    chosen: dict[str, RemoteFile] = {}
    for pattern in patterns:
        picked = [file for file in files if file.path == pattern]
        picked = picked or [file for file in files if fnmatchcase(file.path, pattern)]
        if not picked:
            raise HubNotFound(
                f'{label}: the catalog names "{pattern}", which this commit does not have',
                "compare the file names in the catalog with the hub's",
            )
        chosen.update((file.path, file) for file in picked)
    folders = {str(folder) for path in chosen for folder in PurePosixPath(path).parents}
    for file in chosen.values():
        unsafe = why_unsafe(file.path)
        if not unsafe and file.path in folders:
            unsafe = "is a folder of other files, too"
        if unsafe:
            raise ContentMismatch(
                f"{label}: the hub lists the file name {file.path!r}, which {unsafe}",
                "do not use this repository, or name its files one by one in the catalog",
            )
        _demand_hash(file, label)
    return tuple(chosen[path] for path in sorted(chosen))


def _demand_hash(file: RemoteFile, label: str) -> None:
    """Refuse what is no hash: it becomes the name of a file in the cache."""
    for said, form in ((file.blob_id, _GIT_SHA1), (file.lfs_sha256 or "0" * 64, _SHA256)):
        if not form.fullmatch(str(said)):  # the hub's client does not judge its type
            raise ContentMismatch(
                f"{label}: the hub gives {str(said)[:100]!r} as a hash of {file.path}, which is none",
                "do not use this hub or mirror (--hub, HF_ENDPOINT)",
            )


def expected(file: RemoteFile, locked: Mapping[str, LockedFile], label: str) -> Expected:
    """Return what must arrive: the lock's facts where it has some, else the hub's own.

    Raises:
        ContentMismatch: the lock and the hub contradict each other, before a byte is fetched.
    """
    small = file.lfs_sha256 is None
    said = Expected(file.bytes, file.lfs_sha256, file.blob_id if small else None, "hub")
    lock = locked.get(file.path)
    if lock is None:
        return said
    facts = [("bytes", lock.bytes, said.bytes), ("sha256", lock.sha256, said.sha256)]
    if small:
        facts.append(("git sha1", lock.git_sha1, said.git_sha1))
    for name, of_lock, of_hub in facts:
        if of_lock is not None and of_hub is not None and of_lock != of_hub:
            raise ContentMismatch(
                f"{label}: {file.path}: the hub offers {name} {of_hub}, the lock says {of_lock}",
                "find out which of the two is right; if it is the hub, write the lock anew",
            )
    known = lock.bytes is not None or lock.sha256 is not None or lock.git_sha1 is not None
    return Expected(said.bytes, lock.sha256 or said.sha256, said.git_sha1, "lock" if known else "hub")
