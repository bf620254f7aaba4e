"""Repositories made from files on disk, with the hashes that the hub would list for them.

Git names a small file by the sha1 of its blob; a file under Git LFS by the sha256 of its content, while its
git name is that of the pointer file. Hashes are computed when they are first needed and kept; the files must
not change meanwhile.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

DESCRIPTION: Final = "repository.json"


@dataclass(frozen=True, slots=True)
class LfsRule:
    """Which files are under LFS: those with one of the suffixes, and those too large to be plain git files."""

    suffixes: tuple[str, ...] = (".safetensors", ".bin", ".pt", ".model", ".onnx", ".h5", ".msgpack")
    larger_than: int = 10_000_000

    def applies(self, path: str, size: int) -> bool:
        return path.endswith(self.suffixes) or size > self.larger_than


class RepositoryFile:
    """One file of a repository: its path there, where its bytes are, and what git and the hub call it."""

    def __init__(self, path: str, source: Path, lfs: LfsRule) -> None:
        self.path = path
        self.source = source
        self.size = source.stat().st_size
        self.is_lfs = lfs.applies(path, self.size)

    @cached_property
    def sha256(self) -> str:
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git itself stores for a file under LFS."""
        lines = (
            "version https://git-lfs.github.com/spec/v1",
            f"oid sha256:{self.sha256}",
            f"size {self.size}",
            "",
        )
        return "\n".join(lines).encode()

    @cached_property
    def git_sha1(self) -> str:
        data = self.pointer if self.is_lfs else self.source.read_bytes()
        return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.git_sha1


class Repository:
    """One revision of a model repository. Two of the same id are two revisions of it.

    `files` maps paths inside the repository to files on disk; paths are not judged, so that an unsafe one
    can be served. Without a `commit` (40 hex digits) it is the sha1 of names and contents: the same files
    give the same commit. `branches` are the names that lead to this revision. With a `token` the repository
    is gated: no token is answered with 401, another one with 403.
    """

    def __init__(
        self,
        id: str,
        files: Mapping[str, Path],
        *,
        commit: str | None = None,
        branches: Sequence[str] = ("main",),
        lfs: LfsRule | None = None,
        token: str | None = None,
    ) -> None:
        self.id = id
        self.files = {path: RepositoryFile(path, files[path], lfs or LfsRule()) for path in sorted(files)}
        self.branches = tuple(branches)
        self.token = token
        self._commit = commit

    @cached_property
    def commit(self) -> str:
        if self._commit is not None:
            return self._commit
        listing = "".join(f"{path}\0{file.etag}\n" for path, file in self.files.items())
        return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def folders(self) -> frozenset[str]:
        parents = (str(parent) for path in self.files for parent in PurePosixPath(path).parents)
        return frozenset(parents) - {"."}


def repository_from_folder(folder: Path, id: str) -> Repository:
    """Return the files below `folder`.

    An optional `repository.json` there says `id`, `commit`, `branches`, `token`; it is not served.
    """
    described = folder / DESCRIPTION
    description: dict[str, Any] = json.loads(described.read_text("utf-8")) if described.exists() else {}
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and path != described
    }
    return Repository(
        description.get("id", id),
        files,
        commit=description.get("commit"),
        branches=tuple(description.get("branches", ("main",))),
        token=description.get("token"),
    )


def repositories_below(root: Path) -> Iterator[Repository]:
    """One for each folder `models/ORG/NAME` below `root`, in the order of their names."""
    for folder in sorted(root.glob("models/*/*")):
        if folder.is_dir():
            yield repository_from_folder(folder, f"{folder.parent.name}/{folder.name}")
