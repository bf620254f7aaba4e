"""A spaCy package that pip or `spacy download` installed here before: proven to be the catalog's, or not used.

The catalog pins the hash of a wheel, and an installed package no longer has its wheel. But pip notes the hash of the
wheel that it unpacked (`direct_url.json`, PEP 610) and each file's hash (`RECORD`). If the first is the pin and
every file still has the second, these are the wheel's files. Anything less proves nothing, and the wheel is fetched.

What is taken over gets names of its own beside the original: hard links, so that it costs no space and stays when the
original is upgraded or removed; copies where those do not work. The original is only read.
"""

import base64
import csv
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cache_warmer.artifacts.artifact import HashFile
from cache_warmer.disk import atomic
from model_cache.catalog.catalog import SpacySource
from model_cache.safe_names import why_unsafe

_LOG: Final = logging.getLogger(__name__)
_NOTE: Final = "direct_url.json"
# What pip adds to a `.dist-info`, and RECORD, to which it adds that.
_BY_PIP: Final = frozenset({"INSTALLER", "REQUESTED", _NOTE, "RECORD"})
_COMPILED: Final = frozenset({".pyc"})


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """A file of an installed package: its path in the wheel, where it is, its size in bytes and sha256."""

    path: str
    source: Path
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A package whose files are those of the pinned wheel. `dist_info` is the name of its metadata's folder."""

    folder: Path
    dist_info: str
    files: tuple[InstalledFile, ...]

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(file.bytes for file in self.files)


def find_installed(
    source: SpacySource, folders: Iterable[Path], hash_file: HashFile
) -> InstalledPackage | None:
    """Return the package from the first folder that has it and proves it. Reads only."""
    for folder in dict.fromkeys(folders):
        dist_info = folder / f"{source.package}-{source.version}.dist-info"
        if _is_own_folder(dist_info):
            found = _proven(source, folder, dist_info, hash_file)
            if isinstance(found, InstalledPackage):
                return found
            _LOG.info("%s is there already, but %s: it stays, and is not used", dist_info, found)
    return None


def take_over(installed: InstalledPackage, fresh: Path) -> dict[str, tuple[int, str]]:
    """Give the files names below an empty folder. Returns (size, sha256) by path. Raises `OSError`."""
    for file in installed.files:
        target = fresh / file.path
        atomic.make_folders(target.parent)
        _link_or_copy(file.source, target)
    record = f"{installed.dist_info}/RECORD"
    rows = [f"{file.path},sha256={_urlsafe(file.sha256)},{file.bytes}" for file in installed.files]
    content = "\n".join([*rows, f"{record},,", ""]).encode()
    atomic.write_file(fresh / record, content)
    for path in sorted({parent for file in installed.files for parent in PurePosixPath(file.path).parents}):
        atomic.sync_folder(fresh / path)
    written = {file.path: (file.bytes, file.sha256) for file in installed.files}
    return {**written, record: (len(content), _sha256(content))}


def note_wheel(source: SpacySource, fresh: Path, dist_info: str) -> dict[str, tuple[int, str]]:
    """Note the wheel's hash as pip does, so that another user, or we without our records, can prove the tree.

    Returns (size, sha256) by path. Raises `OSError`.
    """
    note = {"url": source.url, "archive_info": {"hashes": {"sha256": source.sha256}}}
    content = json.dumps(note, sort_keys=True).encode() + b"\n"
    atomic.write_file(fresh / dist_info / _NOTE, content)
    return {f"{dist_info}/{_NOTE}": (len(content), _sha256(content))}


def metadata_files(installed: InstalledPackage, hash_file: HashFile) -> tuple[InstalledFile, ...]:
    """Return the two files that prove the others, and so are not among them. Raises `OSError`."""
    files = []
    for path in (f"{installed.dist_info}/RECORD", f"{installed.dist_info}/{_NOTE}"):
        source = installed.folder / path
        size = source.stat().st_size
        files.append(InstalledFile(path, source, size, hash_file(source, size)[0]))
    return tuple(files)


def _is_own_folder(path: Path) -> bool:
    """Whether there is a folder that is no link (a link is ours); one that this user may not look at is not there."""
    try:
        return path.is_dir() and not path.is_symlink()
    except OSError:
        return False


def _proven(
    source: SpacySource, folder: Path, dist_info: Path, hash_file: HashFile
) -> InstalledPackage | str:
    """Return the package, or why it is not proven."""
    try:
        if _wheel_hash(dist_info) != source.sha256:
            return "pip did not note that it came from the wheel that the catalog pins"
        rows = _rows((dist_info / "RECORD").read_text("utf-8"), dist_info.name)
        files = tuple(_file(folder, path, said, hash_file) for path, said in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"it cannot be proven ({error})"
    return InstalledPackage(folder, dist_info.name, files)


def _wheel_hash(dist_info: Path) -> str | None:
    path = dist_info / _NOTE
    if not path.is_file():  # installed by name from an index
        return None
    archive = json.loads(path.read_bytes())["archive_info"]
    hashes = archive.get("hashes") or {}
    return hashes.get("sha256") or str(archive.get("hash", "")).removeprefix("sha256=") or None


def _rows(record: str, dist_info: str) -> list[tuple[str, str]]:
    """Return (path, hash as RECORD writes it) of the wheel's own files. Raises `ValueError`."""
    rows = []
    for path, said, *_ in csv.reader(record.splitlines()):
        pure = PurePosixPath(path)
        if pure.suffix in _COMPILED or (pure.parts[0] == dist_info and pure.name in _BY_PIP):
            continue
        if unsafe := why_unsafe(path):
            raise ValueError(f"RECORD lists {path!r}, which {unsafe}")
        if not said.startswith("sha256="):
            raise ValueError(f"RECORD has no sha256 of {path}")
        rows.append((path, said.removeprefix("sha256=")))
    return rows


def _file(folder: Path, path: str, said: str, hash_file: HashFile) -> InstalledFile:
    source = folder / path
    size = source.stat().st_size
    sha256, _ = hash_file(source, size)
    if _urlsafe(sha256) != said:
        raise ValueError(f"{source} is not as it was installed")
    return InstalledFile(path, source, size, sha256)


def _link_or_copy(source: Path, target: Path, link: Callable[[Path, Path], None] = os.link) -> None:
    try:
        link(source.resolve(), target)
    except (OSError, NotImplementedError):  # another file system, or somebody else's file
        shutil.copyfile(source, target)
        with target.open("rb+") as file:
            atomic.readable_by_all(file.fileno(), target.parent)
            os.fsync(file.fileno())


def _urlsafe(sha256: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
