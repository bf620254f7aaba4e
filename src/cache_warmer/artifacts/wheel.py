"""Wheels as data: unpacks the files that RECORD lists, each verified; nothing is imported or executed.

A wheel is an untrusted zip archive. Before a byte is written, every name, size and hash of its RECORD is checked
(`read_content`): safe names inside the package alone, no links, no file twice, no difference between RECORD and the
archive, and no implausible expansion. While writing (`unpack`) no file may exceed its size in RECORD, so that a zip
bomb stops at once. Each violation is a `ContentMismatch`.
"""

import base64
import binascii
import csv
import hashlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from cache_warmer.disk import atomic
from cache_warmer.errors import ContentMismatch
from cache_warmer.transfer.hashing import CHUNK_BYTES
from model_cache.containment import CacheBoundary
from model_cache.file_io import sync_folder
from model_cache.record_rules import contents_sha256
from model_cache.safe_names import unwritable_reason

# Upper limits of a wheel's content; the largest spaCy packages have 100 files and 1 GB.
MAX_FILES: Final = 20_000
MAX_BYTES: Final = 32 * 10**9
_MAX_RECORD_BYTES: Final = 16 * 10**6
# Unpacked bytes below which the expansion is not checked.
_HARMLESS_BYTES: Final = 100 * 10**6
# Upper limit of the unpacked size over the packed one: vectors hardly compress, a zip bomb a thousandfold.
_MAX_EXPANSION: Final = 100
# Of a size in RECORD.
_MAX_SIZE_DIGITS: Final = 18
# What tools write into wheels; the errors of the other decompressors are many, and some are no zip errors.
_COMPRESSIONS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_REMEDY: Final = "compare url and sha256 in the catalog with the package's release page"


@dataclass(frozen=True, slots=True)
class WheelFile:
    """One file of a wheel: relative path, size in bytes, sha256 (None for RECORD itself)."""

    path: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class WheelContent:
    """Content of a wheel according to its RECORD.

    Attributes:
        files: sorted by path.
        dist_info: name of the folder with its metadata.
    """

    files: tuple[WheelFile, ...]
    dist_info: str

    @property
    def bytes(self) -> int:
        """Size of all files unpacked."""
        return sum(file.bytes for file in self.files)


def read_content(wheel: Path, package: str) -> WheelContent:
    """Read and check a wheel's RECORD and names.

    Args:
        wheel: the archive.
        package: the only package that it may contain.

    Raises:
        ContentMismatch: it is no wheel, or not a safe one.
        OSError: it cannot be read.
    """
    with _open_wheel(wheel) as archive:
        return _RecordReader(_wheel_name(wheel), package).read(archive)


def wheel_contents_sha256(content: WheelContent) -> str:
    """Return the digest of a wheel's files by which a lock recognizes its unpacked tree."""
    return contents_sha256({file.path: (file.bytes, file.sha256) for file in content.files if file.sha256})


def unpack(
    wheel: Path, content: WheelContent, folder: Path, check_cancelled: Callable[[], None] = lambda: None
) -> dict[str, tuple[int, str]]:
    """Write the files of a wheel into an empty folder, synced.

    Args:
        wheel: the archive.
        content: result of `read_content`.
        folder: the target.
        check_cancelled: called before each piece of a file; raises when the run must stop.

    Returns:
        Size in bytes and sha256 by path.

    Raises:
        ContentMismatch: a file has another size or hash than RECORD says, or cannot be decompressed.
        OSError: a file cannot be written.
    """
    written: dict[str, tuple[int, str]] = {}
    with _open_wheel(wheel) as archive:
        for file in content.files:
            target = folder / file.path
            atomic.make_folders(target.parent, CacheBoundary(folder))
            with archive.open(file.path) as source:
                written[file.path] = file.bytes, _write(source, target, file, check_cancelled)
    for path in sorted({parent for name in written for parent in PurePosixPath(name).parents}, reverse=True):
        sync_folder(folder / path)
    return written


@contextmanager
def _open_wheel(wheel: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; errors of the zip library become `ContentMismatch`."""
    try:
        archive = zipfile.ZipFile(wheel)
    except (
        zipfile.BadZipFile,
        ValueError,
        EOFError,
        NotImplementedError,
        OverflowError,
        struct.error,
    ) as error:
        raise _mismatch(_wheel_name(wheel), f"is no wheel: {error}") from error
    with archive:
        try:
            yield archive
        # RuntimeError: encrypted; NotImplementedError: an unsupported compression
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            OverflowError,
            RuntimeError,
            KeyError,
            UnicodeDecodeError,
            struct.error,
        ) as error:
            raise _mismatch(_wheel_name(wheel), f"cannot be unpacked: {error}") from error


@dataclass(frozen=True, slots=True)
class _RecordReader:
    """Reader of RECORD that checks it against the archive.

    Attributes:
        wheel: name for messages.
        package: the only package that the wheel may contain.
    """

    wheel: str
    package: str

    def read(self, archive: zipfile.ZipFile) -> WheelContent:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        members = {info.filename: info for info in infos}
        if len(members) != len(infos):
            raise _mismatch(self.wheel, "names a file twice")
        folders = {str(folder) for name in members for folder in PurePosixPath(name).parents}
        if both := sorted(folders & set(members)):
            raise _mismatch(self.wheel, f"holds {both[0]!r} as a file and as a folder")
        for info in infos:
            self._check_member(info)
        dist_info = self._dist_info(members)
        files = self._read_record(archive, members[f"{dist_info}/RECORD"])
        if set(files) != set(members):
            odd = sorted(set(files) ^ set(members))
            raise _mismatch(self.wheel, f"and its RECORD disagree about {odd[0]!r}")
        self._check_size(
            sum(file.bytes for file in files.values()), sum(info.compress_size for info in infos)
        )
        return WheelContent(tuple(files[path] for path in sorted(files)), dist_info)

    def _check_member(self, info: zipfile.ZipInfo) -> None:
        unsafe = unwritable_reason(info.filename)
        if unsafe:
            raise _mismatch(self.wheel, f"holds the file name {info.filename!r}, which {unsafe}")
        if info.compress_type not in _COMPRESSIONS:
            raise _mismatch(self.wheel, f"holds {info.filename!r} in a compression that wheels do not use")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _mismatch(self.wheel, f"holds {info.filename!r} as a link")
        top = info.filename.partition("/")[0]
        if top != self.package and not top.endswith(".dist-info"):
            # only the package may appear on other projects' PYTHONPATH
            raise _mismatch(
                self.wheel, f"holds {info.filename!r}, which is not of the package {self.package}"
            )

    def _check_size(self, unpacked: int, packed: int) -> None:
        if unpacked > MAX_BYTES:
            raise _mismatch(self.wheel, f"would unpack to more than {MAX_BYTES} bytes")
        if unpacked > _HARMLESS_BYTES and unpacked > _MAX_EXPANSION * packed:
            raise _mismatch(
                self.wheel,
                f"would unpack {packed} bytes to {unpacked}, which no model does: it is a zip bomb",
            )

    def _dist_info(self, members: dict[str, zipfile.ZipInfo]) -> str:
        tops = {name.partition("/")[0] for name in members}
        folders = {top for top in tops if top.endswith(".dist-info")}
        if len(folders) != 1:
            raise _mismatch(self.wheel, f"has {len(folders)} .dist-info folders instead of one")
        folder = folders.pop()
        if f"{folder}/RECORD" not in members:
            raise _mismatch(self.wheel, "has no RECORD")
        if len(members) > MAX_FILES:
            raise _mismatch(self.wheel, f"holds more than {MAX_FILES} files")
        return folder

    def _read_record(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> dict[str, WheelFile]:
        if info.file_size > _MAX_RECORD_BYTES:
            raise _mismatch(self.wheel, f"has a RECORD of {info.file_size} bytes")
        try:
            text = archive.read(info).decode("utf-8")
            rows = [row for row in csv.reader(io.StringIO(text)) if row]
            files = [self._parse_row(row, info) for row in rows]
        except (UnicodeDecodeError, csv.Error, ValueError, binascii.Error) as error:
            raise _mismatch(self.wheel, f"has a RECORD that cannot be read ({error})") from error
        return {file.path: file for file in files}

    def _parse_row(self, row: list[str], record: zipfile.ZipInfo) -> WheelFile:
        path, hashed, size = row
        if path == record.filename:
            return WheelFile(path, record.file_size, None)
        algorithm, _, encoded = hashed.partition("=")
        if algorithm != "sha256":
            raise ValueError(f"{path} has no sha256")
        digest = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        if not (size.isascii() and size.isdecimal() and len(size) <= _MAX_SIZE_DIGITS):
            raise ValueError(f"{path} has no size")  # a negative one would hide others from the limit of all
        return WheelFile(path, int(size), digest.hex())


def _write(source: IO[bytes], target: Path, file: WheelFile, check_cancelled: Callable[[], None]) -> str:
    """Write one file, synced, and return its sha256."""
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as out:
        check_cancelled()
        while chunk := source.read(CHUNK_BYTES):
            check_cancelled()
            size += len(chunk)
            if size > file.bytes:
                raise _mismatch(file.path, f"is larger than the {file.bytes} bytes that RECORD lists")
            digest.update(chunk)
            out.write(chunk)
        atomic.apply_cache_mode(out.fileno(), target.parent)
        out.flush()
        os.fsync(out.fileno())
    if size != file.bytes:
        raise _mismatch(file.path, f"has {size} bytes, where RECORD lists {file.bytes}")
    if file.sha256 is not None and digest.hexdigest() != file.sha256:
        raise _mismatch(file.path, f"has the sha256 {digest.hexdigest()}, where RECORD lists {file.sha256}")
    return digest.hexdigest()


def _wheel_name(wheel: Path) -> str:
    """Return the name of a wheel from that of its staging file."""
    name, end, _ = wheel.name.partition(".whl")
    return name + end


def _mismatch(what: str, wrong: str) -> ContentMismatch:
    return ContentMismatch(f"{what} {wrong}", _REMEDY)
