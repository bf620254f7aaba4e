"""Decide which of the found files are the files that a model needs: by size first, then by hash.

A name proves nothing, so every file of the right size is read until one has the expected content, those with the
expected name first. Each file is read once for all models. If none has it, the file that should have been it (by
repository and name) explains why: half a download, another revision, another content.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.adopt.layouts import FoundModel, Layout
from cache_warmer.adopt.scan import Candidate, Findings
from cache_warmer.transfer.download import Download
from cache_warmer.transfer.hashing import CHUNK_BYTES, ContentHash, describe_mismatch
from cache_warmer.transfer.staging import final_name

# Letters of a commit that a message shows.
_SHORT: Final = 12


@dataclass(frozen=True, slots=True)
class FileMatch:
    """A found file that has the expected content.

    Attributes:
        download: the file that a model needs.
        candidate: where it was found.
        sha256: of its content.
        state: of the file when it was read; None for a member of an archive.
        verified: the hash that was compared: `sha256` or `git sha1`.
    """

    download: Download
    candidate: Candidate
    sha256: str
    state: os.stat_result | None
    verified: str


@dataclass(frozen=True, slots=True)
class FileMiss:
    """A file that a model needs and that was not found.

    Attributes:
        download: the file.
        detail: what was found in its place; empty: nothing.
        is_wrong: whether that has another content under its name.
        is_unreadable: whether that could not be read.
    """

    download: Download
    detail: str = ""
    is_wrong: bool = False
    is_unreadable: bool = False


@dataclass(frozen=True, slots=True)
class _Hashes:
    sha256: str
    git_sha1: str | None
    state: os.stat_result | None


class Matcher:
    """Compares what was found with what models need. Reads each file at most once."""

    def __init__(self, findings: Findings) -> None:
        self._by_size: dict[int, list[Candidate]] = defaultdict(list)
        self._by_name: dict[str, list[Candidate]] = defaultdict(list)
        self._incomplete = [one for one in findings.candidates if one.is_incomplete]
        for one in findings.candidates:
            if not one.is_incomplete:
                self._by_size[one.bytes].append(one)
                self._by_name[one.hint.name.casefold()].append(one)
        self._hashes: dict[tuple[Path, str], _Hashes | OSError] = {}

    def find(self, download: Download, repository: str) -> FileMatch | FileMiss:
        """Return the found file with the content of a download, or why there is none.

        Args:
            download: what the model needs.
            repository: the repository of the model, or the name of its package.
        """
        expected, unreadable = download.expected, ""
        for one in self._plausible(download, repository):
            hashes = self._read(one)
            if isinstance(hashes, OSError):
                unreadable = unreadable or f"{one.label} cannot be read: {hashes.strerror or hashes}"
                continue
            if not describe_mismatch(expected, one.bytes, hashes.sha256, hashes.git_sha1):
                verified = "sha256" if expected.sha256 is not None else "git sha1"
                return FileMatch(download, one, hashes.sha256, hashes.state, verified)
        if unreadable:
            return FileMiss(download, unreadable, is_unreadable=True)
        return self._explain(download, repository)

    def _plausible(self, download: Download, repository: str) -> list[Candidate]:
        expected = download.expected
        if expected.sha256 is None and expected.git_sha1 is None:
            return []
        found = (
            self._by_size[expected.bytes]
            if expected.bytes is not None
            else self._by_name[download.name.casefold()]
        )
        return sorted(found, key=lambda one: (one.hint.name != download.name, not _is_of(one, repository)))

    def _read(self, one: Candidate) -> _Hashes | OSError:
        key = (one.path, one.member)
        if key not in self._hashes:
            try:
                self._hashes[key] = _hash(one)
            except OSError as error:
                self._hashes[key] = error
        return self._hashes[key]

    def _explain(self, download: Download, repository: str) -> FileMiss:
        expected = download.expected
        for one in self._namesakes(download, repository):
            where = f"{one.label} is"
            if one.hint.revision and one.found is not None and one.found.layout is Layout.HUB_CACHE:
                detail = f"{where} of another revision, {one.hint.revision[:_SHORT]}"
            elif expected.bytes is not None and one.bytes < expected.bytes:
                detail = f"{where} {one.bytes} bytes instead of {expected.bytes}: half a download, or another revision"
            else:
                hashes = self._read(one)
                if isinstance(hashes, OSError):
                    continue
                wrong = describe_mismatch(expected, one.bytes, hashes.sha256, hashes.git_sha1)
                detail = f"{where} another file: {wrong}"
            return FileMiss(download, detail, is_wrong=True)
        blob = final_name(download.staging.name)
        for one in self._incomplete:
            if blob in (one.member or one.path.name):
                detail = f"{one.label} is half a download: {one.bytes} of {expected.bytes} bytes"
                return FileMiss(download, detail, is_wrong=True)
        return FileMiss(download)

    def _namesakes(self, download: Download, repository: str) -> Iterator[Candidate]:
        """Yield the files that should have been it: of that name, in any case, and of that repository or package."""
        for one in self._by_name[download.name.casefold()]:
            if _is_of(one, repository) or (one.found is not None and one.found.layout is Layout.WHEEL):
                yield one


def models_of(findings: Findings, package: str) -> list[FoundModel]:
    """Return the spaCy packages of that name that were found."""
    return [one for one in findings.models if one.layout is Layout.SPACY_PACKAGE and one.path.name == package]


def wheels_of(findings: Findings, package: str) -> list[FoundModel]:
    """Return the wheels of a package that were found, of whichever version and Python."""
    prefix = f"{package}-".casefold()
    return [
        one
        for one in findings.models
        if one.layout is Layout.WHEEL and one.name.casefold().startswith(prefix)
    ]


def _is_of(one: Candidate, repository: str) -> bool:
    if one.hint.repository:
        return one.hint.repository.casefold() == repository.casefold() or (
            one.found is not None and one.found.is_of(repository)
        )
    return one.found is not None and one.found.is_of(repository)


def _hash(one: Candidate) -> _Hashes:
    content, size = ContentHash(one.bytes), 0
    with one.open() as file:
        state = None if one.member else os.fstat(file.fileno())
        while chunk := file.read(CHUNK_BYTES):
            content.update(chunk)
            size += len(chunk)
    if size != one.bytes:
        raise OSError(None, "it was changed meanwhile", str(one.path))
    return _Hashes(content.sha256(), content.git_sha1(), state)
