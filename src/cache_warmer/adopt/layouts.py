"""Layouts in which libraries and people keep models: recognized by names alone, without reading a model's content.

| layout | by what it is recognized |
| --- | --- |
| hub cache | a folder `models--ORG--NAME` with `blobs` or `snapshots` |
| `local_dir` download | `.cache/huggingface/` (hub library before 0.24.6: `.huggingface/`) beside the files |
| transformers before 4.22 | `<sha256 of the URL>.<sha256 of the ETag>` beside `<the same>.json`, which has both |
| sentence-transformers before 2.3 | a folder `ORG_NAME` with `modules.json` or `config_sentence_transformers.json` |
| spaCy package | `NAME/NAME-VERSION/config.cfg`, as in site-packages |
| model folder | any other folder with `config.json`, as `save_pretrained` or `git clone` write it |

What a layout says of its files (a repository, a name, a commit) is a hint for messages. It proves nothing: a file is
used only if its content has the expected hash (`match`).

Everything here reads folders that others write, and small files with a limit; what cannot be read is not recognized.
"""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

from model_cache.file_io import read_small_file
from model_cache.json_values import parse_json_object
from model_cache.layout import REPOSITORY_PREFIX, repository_name

TAR_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
WHEEL_SUFFIX: Final = ".whl"
# Ending of the hub library's files that are not complete.
INCOMPLETE_SUFFIX: Final = ".incomplete"
# The folders of the hub library beside the files of a `local_dir` download, newest first.
_LOCAL_DIR_FOLDERS: Final = (".cache/huggingface", ".huggingface")
_SENTENCE_TRANSFORMERS_FILES: Final = frozenset({"modules.json", "config_sentence_transformers.json"})
# The hash of the ETag is missing where the server sent none; TensorFlow's files keep their suffix.
_TRANSFORMERS_NAME: Final = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{64})?(\.h5)?")
_TRANSFORMERS_URL: Final = re.compile(
    r"https?://[^/]+/(?P<repository>.+?)/resolve/(?P<revision>[^/]+)/(?P<name>.+)"
)
# Addresses of files before the hub had `resolve`: https://cdn.huggingface.co/ORG/NAME/pytorch_model.bin
_OLDER_URL: Final = re.compile(r"https?://[^/]+/(?P<repository>[^/]+/[^/]+)/(?P<name>[^/]+)")
_PACKAGE_NAME: Final = re.compile(r"[a-z]{2,3}_[a-z0-9_]+")
# Limit in bytes of the small files that describe a download.
_MAX_NOTE_BYTES: Final = 1 << 16


class Layout(StrEnum):
    """How the files of a model lie."""

    HUB_CACHE = "hub_cache"
    LOCAL_DIR = "local_dir"
    TRANSFORMERS = "transformers_before_4_22"
    SENTENCE_TRANSFORMERS = "sentence_transformers_before_2_3"
    SPACY_PACKAGE = "spacy_package"
    WHEEL = "wheel"
    MODEL_FOLDER = "model_folder"
    TAR = "tar"
    EXPORT = "export"


# What people call the layouts.
DESCRIPTIONS: Final = {
    Layout.HUB_CACHE: "hub cache",
    Layout.LOCAL_DIR: "local_dir download",
    Layout.TRANSFORMERS: "cache of transformers before 4.22",
    Layout.SENTENCE_TRANSFORMERS: "cache of sentence-transformers before 2.3",
    Layout.SPACY_PACKAGE: "spaCy package",
    Layout.WHEEL: "wheel",
    Layout.MODEL_FOLDER: "model folder",
    Layout.TAR: "tar archive",
    Layout.EXPORT: "export of cache-warmer",
}


@dataclass(frozen=True, slots=True)
class FoundModel:
    """What was recognized: one model, one archive, or one flat cache of several models.

    Attributes:
        layout: how its files lie.
        path: its folder or file.
        name: `ORG/NAME`, `ORG_NAME`, `PACKAGE-VERSION` or a folder's name; empty where the layout has none.
    """

    layout: Layout
    path: Path
    name: str

    def is_of(self, repository: str) -> bool:
        """Return whether its name is that of a repository, in any case, with or without its organization."""
        own = self.name.casefold()
        wanted = repository.casefold()
        return own in (wanted, wanted.replace("/", "_"), wanted.replace("/", "--"), wanted.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class FileHint:
    """What a layout says of one file: path in its repository, commit or branch, repository; empty: nothing."""

    name: str = ""
    revision: str = ""
    repository: str = ""


def recognize(folder: Path, names: Collection[str]) -> FoundModel | None:
    """Return the model, or the flat cache, that a folder is; None if it is none that is known.

    Args:
        folder: the folder.
        names: the names of its entries.
    """
    if folder.name.startswith(REPOSITORY_PREFIX) and not {"blobs", "snapshots"}.isdisjoint(names):
        return FoundModel(Layout.HUB_CACHE, folder, repository_name(folder.name))
    if any(_is_transformers_note(name, names) for name in names):
        return FoundModel(Layout.TRANSFORMERS, folder, "")
    if any(os.path.isdir(folder / marker) for marker in _LOCAL_DIR_FOLDERS):
        return FoundModel(Layout.LOCAL_DIR, folder, folder.name)
    if not _SENTENCE_TRANSFORMERS_FILES.isdisjoint(names) and "_" in folder.name:
        return FoundModel(Layout.SENTENCE_TRANSFORMERS, folder, folder.name)
    if "config.json" in names or not _SENTENCE_TRANSFORMERS_FILES.isdisjoint(names):
        return FoundModel(Layout.MODEL_FOLDER, folder, folder.name)
    return None


def recognize_spacy_packages(folder: Path, names: Collection[str]) -> list[FoundModel]:
    """Return the spaCy packages whose folder lies in this one, as in site-packages."""
    return [
        FoundModel(Layout.SPACY_PACKAGE, Path(os.path.realpath(folder / name)), version)
        for name in sorted(filter(_PACKAGE_NAME.fullmatch, names))
        for version in _entries(folder / name)
        if version.startswith(f"{name}-") and (folder / name / version / "config.cfg").is_file()
    ]


def file_hint(found: FoundModel, path: Path) -> FileHint:
    """Return what the layout says of a file of this model.

    Args:
        found: the model, or the flat cache.
        path: the file, below its folder; links are not followed.
    """
    relative = PurePosixPath(path.relative_to(found.path).as_posix())
    match found.layout:
        case Layout.HUB_CACHE:
            return snapshot_hint(relative, found.name)
        case Layout.TRANSFORMERS:
            return _transformers_hint(path)
        case Layout.LOCAL_DIR:
            return FileHint(str(relative), _local_dir_commit(found.path, relative), found.name)
        case _:
            return FileHint(str(relative), "", found.name)


def snapshot_hint(relative: PurePosixPath, repository: str) -> FileHint:
    """Return the hint of a path inside the folder of a repository in a hub cache; blobs have no name."""
    if relative.parts[0] == "snapshots" and len(relative.parts) > 2:
        return FileHint(str(PurePosixPath(*relative.parts[2:])), relative.parts[1], repository)
    return FileHint("", "", repository)


def _is_transformers_note(name: str, names: Collection[str]) -> bool:
    content = name.removesuffix(".json")
    return content != name and content in names and _TRANSFORMERS_NAME.fullmatch(content) is not None


def _transformers_hint(path: Path) -> FileHint:
    try:
        note = parse_json_object(read_small_file(path.with_name(f"{path.name}.json"), _MAX_NOTE_BYTES))
    except (OSError, ValueError):
        return FileHint()
    url = str(note.get("url", ""))
    if matched := _TRANSFORMERS_URL.fullmatch(url):
        return FileHint(matched["name"], matched["revision"], matched["repository"])
    matched = _OLDER_URL.fullmatch(url)
    return FileHint(matched["name"], "", matched["repository"]) if matched else FileHint()


def _local_dir_commit(folder: Path, relative: PurePosixPath) -> str:
    """Return the commit of a `local_dir` file: the first line of its metadata file."""
    for marker in _LOCAL_DIR_FOLDERS:
        try:
            note = read_small_file(folder / marker / "download" / f"{relative}.metadata", _MAX_NOTE_BYTES)
        except OSError:
            continue
        return note.decode("utf-8", "replace").partition("\n")[0].strip()
    return ""


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
