"""Look through a folder, a wheel or a tar archive for files that may be those of a model.

Only names and sizes are read. Links to folders are followed, because a model often lies on another disk, each folder
once. The cache itself is left out, so that `adopt ~` finds what other programs have. A folder or an archive that cannot
be read is noted, and the rest is used.

Archives: those that are named, or that lie directly in the folder. Nothing is extracted by name: a member is a
candidate like a file, read from the archive once its size fits.
"""

import gzip
import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, cast

from cache_warmer.adopt.layouts import (
    INCOMPLETE_SUFFIX,
    TAR_SUFFIXES,
    WHEEL_SUFFIX,
    FileHint,
    FoundModel,
    Layout,
    file_hint,
    recognize,
    recognize_spacy_packages,
    snapshot_hint,
)
from model_cache.errors import UsageError
from model_cache.file_io import open_regular_file
from model_cache.layout import PACKAGES, REPOSITORY_PREFIX, repository_name
from model_cache.places import Places

# The first member of an export (`archive.format`).
_EXPORT_MEMBER: Final = "archive.json"
# Folders without model files: locks of the hub library, version control (LFS objects are no checked-out files), caches.
_IGNORED_FOLDERS: Final = frozenset({".locks", ".git", "__pycache__", "node_modules", ".model-cache"})
_IGNORED_PREFIXES: Final = ("datasets--", "spaces--")
# What the library raises for an archive that is none, or cut short.
_DAMAGED: Final = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
# Folders of a path below which nothing is looked for; a hostile tree may be thousands deep.
_MAX_DEPTH: Final = 200
# Files after which a scan ends: no folder of models has as many.
_MAX_FILES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be one of a model.

    Attributes:
        path: the file, with its links resolved; for a member, the archive.
        bytes: its size.
        hint: what its layout says of it.
        found: the model that it belongs to; None: nothing was recognized around it.
        member: its name in the archive; empty for a file.
    """

    path: Path
    bytes: int
    hint: FileHint
    found: FoundModel | None
    member: str = ""

    @property
    def label(self) -> str:
        """Its path, for messages."""
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    @property
    def is_incomplete(self) -> bool:
        """Whether its name is that of a download that has not ended."""
        return (self.member or self.path.name).endswith(INCOMPLETE_SUFFIX)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it for reading.

        Raises:
            OSError: it cannot be read.
        """
        if not self.member:
            with open_regular_file(self.path) as file:
                yield cast(BinaryIO, file)
            return
        try:
            with tarfile.open(self.path) as archive, archive.extractfile(self.member) or _no_file() as member:
                yield cast(BinaryIO, member)
        except (*_DAMAGED, KeyError) as error:
            raise OSError(None, f"the archive cannot be read: {error}", str(self.path)) from error


@dataclass(slots=True)
class Findings:
    """What a scan found.

    Attributes:
        models: the models, flat caches and archives that were recognized.
        candidates: the files.
        unreadable: folders, files and archives that could not be read, with the reason.
        damaged: archives that are none, or cut short, with the reason.
    """

    models: list[FoundModel] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)


def scan(source: Path, places: Places) -> Findings:
    """Look through a folder or a file.

    Args:
        source: a folder, a wheel, or a tar archive.
        places: of the cache, which is left out.

    Raises:
        UsageError: there is nothing at that path, it is the cache itself, or it has too many files.
    """
    if not source.exists():
        raise UsageError(f"there is no {source}", "give a folder with models, a wheel, or a tar archive")
    scanner = _Scanner(places)
    real = Path(os.path.realpath(source))
    if scanner.is_own(real):
        raise UsageError(
            f"{source} is in the cache that is to be filled",
            "give the folder of another cache; `cache-warmer warm` uses what lies in this one",
        )
    if real.is_dir():
        scanner.scan_folder(source)
    else:
        scanner.scan_file(source, is_given=True)
    return scanner.findings


class _Scanner:
    """One scan."""

    def __init__(self, places: Places) -> None:
        own = (places.hub.path, places.spacy.path / PACKAGES, places.own.path)
        self._own = [Path(os.path.realpath(path)) for path in own]
        self._seen: set[tuple[int, int]] = set()
        self.findings = Findings()

    def is_own(self, real: Path) -> bool:
        return any(real.is_relative_to(folder) for folder in self._own)

    def scan_folder(self, folder: Path, found: FoundModel | None = None, *, is_given: bool = True) -> None:
        """Look through a folder; `found` is the model that it is a part of."""
        if len(folder.parts) > _MAX_DEPTH:
            self.findings.unreadable[folder] = f"more than {_MAX_DEPTH} folders deep"
            return
        try:
            state = folder.stat()
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.findings.unreadable[folder] = error.strerror or str(error)
            return
        if (state.st_dev, state.st_ino) in self._seen or self.is_own(Path(os.path.realpath(folder))):
            return
        self._seen.add((state.st_dev, state.st_ino))
        names = {entry.name for entry in listed}
        here = recognize(folder, names)
        if here is not None and (found is None or here.layout is Layout.HUB_CACHE):
            found = here
            self.findings.models.append(here)
        packages = {
            one.path: one
            for one in recognize_spacy_packages(folder, names)
            if not self.is_own(one.path) and one not in self.findings.models  # links lead to it, too
        }
        self.findings.models.extend(packages.values())
        # a flat cache has files of its own and, from later versions, folders with models
        inner = None if found is not None and found.layout is Layout.TRANSFORMERS else found
        for entry in listed:
            path = folder / entry.name
            if not os.path.isdir(path):
                self.scan_file(path, found, is_given=False, is_top=is_given)
            elif entry.name not in _IGNORED_FOLDERS and not entry.name.startswith(_IGNORED_PREFIXES):
                self.scan_folder(path, packages.get(path, inner), is_given=False)

    def scan_file(
        self, path: Path, found: FoundModel | None = None, *, is_given: bool, is_top: bool = False
    ) -> None:
        """Note a file. `is_given`: the user named it; `is_top`: it lies in the folder that the user named."""
        try:
            state = path.stat()
        except FileNotFoundError:  # a link to nothing
            return
        except OSError as error:
            self.findings.unreadable[path] = error.strerror or str(error)
            return
        if not stat.S_ISREG(state.st_mode):
            return
        real = Path(os.path.realpath(path))
        if self.is_own(real):
            return
        if len(self.findings.candidates) >= _MAX_FILES:
            raise UsageError(f"there are more than {_MAX_FILES} files", "give the folder of the models alone")
        if path.name.endswith(TAR_SUFFIXES) and (is_given or is_top):
            self._scan_tar(path)
            return
        if path.suffix == WHEEL_SUFFIX:
            found = FoundModel(Layout.WHEEL, path, path.name)
            self.findings.models.append(found)
            hint = FileHint(path.name)
        else:
            hint = file_hint(found, path) if found is not None else FileHint(path.name)
        self.findings.candidates.append(Candidate(real, state.st_size, hint, found))

    def _scan_tar(self, path: Path) -> None:
        try:
            with tarfile.open(path) as archive:
                members = archive.getmembers()
        except _DAMAGED as error:
            self.findings.damaged[path] = f"it is no tar archive, or was cut short ({error})"
            return
        except OSError as error:
            self.findings.unreadable[path] = error.strerror or str(error)
            return
        is_export = bool(members) and members[0].name == _EXPORT_MEMBER
        found = FoundModel(Layout.EXPORT if is_export else Layout.TAR, path, path.name)
        self.findings.models.append(found)
        hints = _hints_of_links(members)
        for member in members:
            if member.isreg() and not member.issparse():
                hint = hints.get(member.name) or member_hint(member.name)
                self.findings.candidates.append(Candidate(path, member.size, hint, found, member.name))


def member_hint(name: str) -> FileHint:
    """Return what the path of an archive's member says of it: repository, name and commit of a hub cache's file."""
    parts = PurePosixPath(name).parts
    for index, part in enumerate(parts):
        if part.startswith(REPOSITORY_PREFIX):
            inside = parts[index + 1 :]
            return snapshot_hint(PurePosixPath(*inside), repository_name(part)) if inside else FileHint()
    return FileHint(name)


def _hints_of_links(members: list[tarfile.TarInfo]) -> dict[str, FileHint]:
    """Return the hints of the blobs that links of a hub cache name, by the blob's name in the archive."""
    return {
        os.path.normpath(os.path.join(os.path.dirname(member.name), member.linkname)): member_hint(
            member.name
        )
        for member in members
        if member.issym()
    }


def _no_file() -> BinaryIO:
    raise KeyError("no plain file")
