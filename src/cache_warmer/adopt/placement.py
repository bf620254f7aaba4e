"""Put a verified file beside its final name in the cache: by hard link, reflink or copy. The source is only read.

* A hard link takes no space. It has the owner and mode of the source, so it is used only for a file of this user that
  the readers of the cache may read (`readers_of`) and others may not write. Programs of the Hugging Face family
  replace files and never change them in place, so a link keeps its content when the source is updated or deleted.
* A reflink (btrfs, XFS) shares the blocks until one side is written, so it also serves files that must not be linked.
* A copy is hashed while it is written.

The name is one that no download continues (`transfer.claim`), because that would write into the source through a link.
It ends like every staging file, so `collect` removes what a killed run left.
"""

import os
import stat
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from cache_warmer.adopt.match import FileMatch
from cache_warmer.disk import atomic
from cache_warmer.disk.volume import mount_of, nearest_folder
from cache_warmer.errors import ContentMismatch, NoPermission
from cache_warmer.transfer.hashing import CHUNK_BYTES, ContentHash
from cache_warmer.transfer.journal import STAGING_SUFFIX
from model_cache.file_io import sync_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module or None

_MARK: Final = ".adopt-"
_RANDOM_BYTES: Final = 6
# The request FICLONE of ioctl_ficlone(2).
_FICLONE: Final = 0x40049409
# File systems that have reflinks, as `/proc/self/mountinfo` names them.
_WITH_REFLINKS: Final = frozenset({"btrfs", "xfs", "bcachefs"})
# Bits of a mode.
_OWNER_READS, _ALL_READ, _OTHERS_WRITE = 0o400, 0o444, 0o002
_CHANGED_REMEDY: Final = "let no other program write to that folder, then run the same command again"


class Method(StrEnum):
    """How a file gets into the cache."""

    LINK = "link"
    REFLINK = "reflink"
    COPY = "copy"
    UNPACK = "unpack"


def readers_of(folder: Path, *, on_host: bool) -> int:
    """Return the bits that a file of the cache must have so that its readers may read it.

    The global caches of a host are their owner's, and huggingface_hub 0.10 writes 0600 there, too. In a
    folder that a group shares, and in a cache of our own, which other users and pods mount, everybody reads.
    """
    is_shared = nearest_folder(folder).stat().st_mode & stat.S_ISGID
    return _OWNER_READS if on_host and not is_shared else _ALL_READ


def expected_method(match: FileMatch, folder: Path, readers: int = _ALL_READ) -> Method:
    """Return how a file will get into a folder, as far as that is known without writing to it.

    Args:
        match: the file.
        folder: the folder, which need not exist.
        readers: the value of `readers_of`.
    """
    if match.state is None:
        return Method.COPY
    target = nearest_folder(folder)
    if match.state.st_dev == target.stat().st_dev and is_linkable(match.state, readers):
        return Method.LINK
    mount = mount_of(target)
    has_reflinks = mount is not None and mount.kind in _WITH_REFLINKS
    return Method.REFLINK if has_reflinks and mount == mount_of(match.candidate.path) else Method.COPY


def stage(match: FileMatch, staging: Path, readers: int = _ALL_READ) -> Method:
    """Make the content of a found file available under a new name; return how.

    Args:
        match: the file, verified.
        staging: a path from `staging_path`; its folder exists.
        readers: the value of `readers_of`.

    Raises:
        ContentMismatch: the file was changed since it was verified.
        OSError: it cannot be read, or the cache not be written. Nothing is left.
    """
    try:
        may_link = match.state is not None and is_linkable(match.state, readers)
        if may_link and _link(match.candidate.path, staging):
            _require_unchanged(match, staging.stat())
            sync_folder(staging.parent)
            return Method.LINK
        return _copy(match, staging)
    except BaseException:
        with suppress(OSError):
            staging.unlink()
        raise


def staging_path(resting: Path) -> Path:
    """Return a new name beside a staging file's resting name."""
    stem = resting.name.removesuffix(STAGING_SUFFIX)
    return resting.with_name(f"{stem}{_MARK}{os.urandom(_RANDOM_BYTES).hex()}{STAGING_SUFFIX}")


def is_own(state: os.stat_result) -> bool:
    """Return whether a file belongs to this user; True on Windows, which has no such owners."""
    return not hasattr(os, "geteuid") or state.st_uid == os.geteuid()


def is_linkable(state: os.stat_result, readers: int, system: str = os.name) -> bool:
    """Return whether a file may become a part of the cache as it is, by its owner and mode; on Windows any may."""
    if system != "posix":  # the modes there are invented: all may read and write
        return True
    return is_own(state) and state.st_mode & readers == readers and not state.st_mode & _OTHERS_WRITE


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except (OSError, NotImplementedError):  # another file system, one without links, or too many of them
        return False
    return True


def _copy(match: FileMatch, staging: Path) -> Method:
    content, size, method = ContentHash(None), 0, Method.COPY
    with match.candidate.open() as source, staging.open("xb") as target:
        atomic.apply_cache_mode(target.fileno(), staging.parent)
        if match.state is not None and _reflink(source.fileno(), target.fileno()):
            method = Method.REFLINK
            _require_unchanged(match, os.fstat(source.fileno()))
        else:
            while chunk := _read(source, match):
                content.update(chunk)
                size += len(chunk)
                if size > match.candidate.bytes:
                    raise _changed(match)
                target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    if method is Method.COPY and content.sha256() != match.sha256:
        raise _changed(match)
    return method


def _read(source: BinaryIO, match: FileMatch) -> bytes:
    try:
        return source.read(CHUNK_BYTES)
    except OSError as error:
        raise NoPermission(
            f"{match.candidate.label} cannot be read: {error.strerror or error}",
            "check the disk that it is on",
        ) from error


def _reflink(source: int, target: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _require_unchanged(match: FileMatch, now: os.stat_result) -> None:
    before = match.state
    assert before is not None
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (now.st_ino, now.st_size, now.st_mtime_ns):
        raise _changed(match)


def _changed(match: FileMatch) -> ContentMismatch:
    return ContentMismatch(f"{match.candidate.label} was changed while it was taken over", _CHANGED_REMEDY)
