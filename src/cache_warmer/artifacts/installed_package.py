"""A spaCy package that pip or `spacy download` installed on this host before: verified against the pin, then reused.

The catalog pins the sha256 of a wheel, and an installed package no longer has its wheel. But pip records the hash of
the wheel that it unpacked (`direct_url.json`, PEP 610) and the hash of each file (`RECORD`). If the first is the pin
and every file still has the second, these are the files of the wheel. They are also if the lock knows the digest of
the wheel's files and they have it. Anything less is no proof, and the wheel is fetched.

The files are linked beside the original: hard links take no space and stay when the original is upgraded or removed.
Where hard links do not work, they are copied. The original is only read.
"""

import base64
import csv
import hashlib
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
from model_cache.containment import CacheBoundary
from model_cache.file_io import open_regular_file, read_small_file, sync_folder
from model_cache.json_values import parse_json_object
from model_cache.record_rules import contents_sha256
from model_cache.safe_names import unwritable_reason

_LOG: Final = logging.getLogger(__name__)
_DIRECT_URL: Final = "direct_url.json"
# Limits in bytes; the largest packages have a RECORD of some 20 kB.
_MAX_DIRECT_URL_BYTES, _MAX_RECORD_BYTES = 1 << 20, 16 * 10**6
# Files that pip adds to a `.dist-info`, and RECORD, which pip rewrites.
_WRITTEN_BY_PIP: Final = frozenset({"INSTALLER", "REQUESTED", _DIRECT_URL, "RECORD"})
_COMPILED_SUFFIX: Final = ".pyc"


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """A file of an installed package: its path in the wheel, where it is, its size in bytes and sha256."""

    path: str
    source: Path
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A package whose files are those of the pinned wheel.

    Attributes:
        folder: where it is installed.
        dist_info: name of the folder with its metadata.
        files: the files of the wheel.
    """

    folder: Path
    dist_info: str
    files: tuple[InstalledFile, ...]

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(file.bytes for file in self.files)


def find_installed(
    source: SpacySource, folders: Iterable[Path], hash_file: HashFile, locked_contents: str | None = None
) -> InstalledPackage | None:
    """Return the package from the first folder that has it, verified; None if it is nowhere or cannot be verified.

    Args:
        source: package, version and hash of the wheel.
        folders: where packages may be installed.
        hash_file: reads a file.
        locked_contents: the digest of the wheel's files (`contents_sha256` of the lock); None: not known.
    """
    for folder in dict.fromkeys(folders):
        dist_info = folder / f"{source.package}-{source.version}.dist-info"
        if _is_real_folder(dist_info):
            result = verify_installed(source, folder, hash_file, locked_contents)
            if isinstance(result, InstalledPackage):
                return result
            _LOG.info("%s is installed, but %s: it stays, and is not used", dist_info, result)
    return None


def link_installed(installed: InstalledPackage, target: Path) -> dict[str, tuple[int, str]]:
    """Link or copy the files of a package into an empty folder, with a RECORD of their own.

    Returns:
        Size in bytes and sha256 by path.

    Raises:
        OSError: a file cannot be read or written.
    """
    for file in installed.files:
        path = target / file.path
        atomic.make_folders(path.parent, CacheBoundary(target))
        _link_or_copy(file.source, path)
    record = f"{installed.dist_info}/RECORD"
    rows = [f"{file.path},sha256={_urlsafe(file.sha256)},{file.bytes}" for file in installed.files]
    content = "\n".join([*rows, f"{record},,", ""]).encode()
    atomic.write_file(target / record, content, CacheBoundary(target))
    for folder in sorted({parent for file in installed.files for parent in PurePosixPath(file.path).parents}):
        sync_folder(target / folder)
    written = {file.path: (file.bytes, file.sha256) for file in installed.files}
    return {**written, record: (len(content), _sha256(content))}


def write_direct_url(source: SpacySource, tree: Path, dist_info: str) -> dict[str, tuple[int, str]]:
    """Record the hash of the wheel as pip does, so that the tree can be verified without our records.

    Returns:
        Size in bytes and sha256 by path.

    Raises:
        OSError: the file cannot be written.
    """
    document = {"url": source.url, "archive_info": {"hashes": {"sha256": source.sha256}}}
    content = json.dumps(document, sort_keys=True).encode() + b"\n"
    atomic.write_file(tree / dist_info / _DIRECT_URL, content, CacheBoundary(tree))
    return {f"{dist_info}/{_DIRECT_URL}": (len(content), _sha256(content))}


def metadata_files(installed: InstalledPackage, hash_file: HashFile) -> tuple[InstalledFile, ...]:
    """Return RECORD and `direct_url.json`, which verify the other files and so are not among them.

    Raises:
        OSError: one cannot be read.
    """
    files = []
    for path in (f"{installed.dist_info}/RECORD", f"{installed.dist_info}/{_DIRECT_URL}"):
        source = installed.folder / path
        size = source.stat().st_size
        files.append(InstalledFile(path, source, size, hash_file(source, size)[0]))
    return tuple(files)


def _is_real_folder(path: Path) -> bool:
    """Return whether this is a folder and no link (links are ours); False if this user may not access it."""
    try:
        return path.is_dir() and not path.is_symlink()
    except OSError:
        return False


def verify_installed(
    source: SpacySource, folder: Path, hash_file: HashFile, locked_contents: str | None = None
) -> InstalledPackage | str:
    """Return the package that a folder has, or why it cannot be verified. See `find_installed`."""
    dist_info = folder / f"{source.package}-{source.version}.dist-info"
    try:
        if not _is_real_folder(dist_info):
            return f"it has no {dist_info.name}, so no program installed it"
        is_pinned = _wheel_sha256(dist_info) == source.sha256
        if not is_pinned and locked_contents is None:
            return (
                "pip did not record that it came from the wheel that the catalog pins, and no lock has the digest of "
                "the wheel's files"
            )
        record = read_small_file(dist_info / "RECORD", _MAX_RECORD_BYTES).decode("utf-8")
        rows = _wheel_rows(record, dist_info.name)
        files = tuple(_verify_file(folder, path, encoded, hash_file) for path, encoded in rows)
    except (OSError, ValueError, csv.Error) as error:
        return f"it cannot be proven ({error})"
    if not is_pinned and locked_contents != contents_sha256(
        {file.path: (file.bytes, file.sha256) for file in files}
    ):
        return "its files are not those of the wheel in the lock"
    return InstalledPackage(folder, dist_info.name, files)


def _wheel_sha256(dist_info: Path) -> str | None:
    """Return the wheel's sha256 as pip recorded it; None for a package that was installed by name from an index."""
    path = dist_info / _DIRECT_URL
    if not path.is_file():
        return None
    archive = parse_json_object(read_small_file(path, _MAX_DIRECT_URL_BYTES)).get("archive_info")
    if not isinstance(archive, dict):  # installed from a folder or a repository
        return None
    hashes = archive.get("hashes")
    found = hashes.get("sha256") if isinstance(hashes, dict) else None
    return str(found or archive.get("hash") or "").removeprefix("sha256=") or None


def _wheel_rows(record: str, dist_info: str) -> list[tuple[str, str]]:
    """Return path and encoded sha256 of the wheel's own files in RECORD.

    Raises:
        ValueError: a row is none, a path is unsafe, or a file has no sha256.
        csv.Error: it is no table.
    """
    rows = []
    for row in csv.reader(record.splitlines()):
        if not row:  # an empty line, as some tools leave it at the end
            continue
        path, hashed = row[0], row[1] if len(row) > 1 else ""
        pure = PurePosixPath(path)
        if pure.suffix == _COMPILED_SUFFIX:
            continue
        if unsafe := unwritable_reason(path):
            raise ValueError(f"RECORD lists {path!r}, which {unsafe}")
        if pure.parts[0] == dist_info and pure.name in _WRITTEN_BY_PIP:
            continue
        if not hashed.startswith("sha256="):
            raise ValueError(f"RECORD has no sha256 of {path}")
        rows.append((path, hashed.removeprefix("sha256=")))
    return rows


def _verify_file(folder: Path, path: str, encoded: str, hash_file: HashFile) -> InstalledFile:
    source = folder / path
    with open_regular_file(source) as file:  # not a FIFO, which `hash_file` would wait for
        size = os.fstat(file.fileno()).st_size
    sha256, _ = hash_file(source, size)
    if _urlsafe(sha256) != encoded:
        raise ValueError(f"{source} was changed after its installation")
    return InstalledFile(path, source, size, sha256)


def _link_or_copy(source: Path, target: Path, link: Callable[[Path, Path], None] = os.link) -> None:
    try:
        link(source.resolve(), target)
    except (OSError, NotImplementedError):  # another file system, or another user's file
        with open_regular_file(source) as original, target.open("xb") as file:
            shutil.copyfileobj(original, file)
            file.flush()
            atomic.apply_cache_mode(file.fileno(), target.parent)
            os.fsync(file.fileno())


def _urlsafe(sha256: str) -> str:
    """Return a hash as RECORD encodes it: base64 without padding (binary distribution format, PEP 427)."""
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
