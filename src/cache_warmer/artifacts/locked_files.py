"""The files of a commit according to the lock, so that the hub need not be asked for its list of them.

The lock stands for the list of a hub that cannot be reached, or of a mirror that has none. It replaces the list
altogether (`is_certain`) only if asking would tell nothing new:

* The catalog gives names. A pattern may select a file that the lock does not know.
* Each file is known to be one that the hub stores under LFS or not, because that decides the name of its blob. Git's
  sha1 tells a small file; a lock that was written from the hub's list has it for every small file.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cache_warmer.artifacts.hf_layout import LFS_THRESHOLD, git_blob
from cache_warmer.hub.client import RemoteFile
from model_cache.catalog.catalog import HuggingFaceSource, matching_names
from model_cache.catalog.lock import LockedFile, LockedModel
from model_cache.manifest import FileRecord
from model_cache.places import PlaceName


@dataclass(frozen=True, slots=True)
class LockedListing:
    """The files that the catalog selects, as the hub would list them.

    Attributes:
        files: sorted by path.
        repository_bytes: size of the whole repository; None if not known.
        is_certain: whether the hub's own list would have nothing else.
    """

    files: tuple[RemoteFile, ...]
    repository_bytes: int | None
    is_certain: bool


def list_locked_files(source: HuggingFaceSource, locked: LockedModel | None) -> LockedListing | None:
    """Return the selected files; None if the lock does not know all of them, with size and hash.

    Args:
        source: repository, commit and names or patterns.
        locked: what the lock says of this commit; None if it says nothing.
    """
    if locked is None:
        return None
    paths, names_only = _selected_paths(source.files, locked.files)
    files = [_remote_file(path, locked.files[path]) for path in paths]
    known = [file for file in files if file is not None]
    if not known or len(known) != len(files):
        return None
    from_list = locked.whole_repository_bytes is not None
    certain = names_only and all(
        from_list or file.lfs_sha256 is None or file.bytes > LFS_THRESHOLD for file in known
    )
    size = locked.whole_repository_bytes or locked.whole_repository_bytes_about
    return LockedListing(tuple(known), size, certain)


def _selected_paths(patterns: tuple[str, ...], files: Mapping[str, LockedFile]) -> tuple[list[str], bool]:
    """Return the selected paths, none if a pattern selects nothing, and whether all patterns are names."""
    selected, names_only = set[str](), True
    for pattern in patterns:
        names = matching_names(pattern, files)
        if not names:
            return [], False
        selected.update(names)
        names_only = names_only and pattern in files
    return sorted(selected), names_only


def _remote_file(path: str, file: LockedFile) -> RemoteFile | None:
    if file.bytes is None:
        return None
    if file.git_sha1 is not None:
        return RemoteFile(path, file.bytes, file.git_sha1, None)
    if file.sha256 is None:
        return None
    record = FileRecord(PlaceName.HUB, path, file.bytes, file.sha256)
    return RemoteFile(path, file.bytes, git_blob(record, file.sha256), file.sha256)
