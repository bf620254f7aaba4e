"""Prepared forms in a cache: where they lie, and which of them counts.

A form lies in `prepared/<key>/<revision8>-<precision>-<digest8>/` of our own place, which appears by rename
(`cache-warmer publish`). The digest is the sha256 of its record, which holds the hash of every file: so the folder's
name tells whether the record is intact, and two forms with one name have the same content.

Of several forms of one model, source and precision the one that was published last counts, also if it is damaged: an
older one would answer with other numbers. The time is that of the last change of the record's file.

Only records are read here. `model_cache.check.prepared_forms` compares the files that they list.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from model_cache.catalog.catalog import Model, Precision, model_digest
from model_cache.catalog.lock import Lock
from model_cache.errors import ManifestInvalid
from model_cache.file_io import read_small_file
from model_cache.layout import PREPARED, model_folder, model_record_path, prepared_folder
from model_cache.manifest import FileRecord, parse_model_record
from model_cache.places import PlaceName, Places
from model_cache.prepared_form import (
    MAX_RECORD_BYTES,
    RECORD_NAME,
    FormInvalid,
    PreparedForm,
    digest_of,
    parse_form,
    source_mismatch,
)
from model_cache.record_rules import record_mismatch

# Length of the short hashes in the name of a form's folder.
_SHORT: Final = 8
_FOLDER: Final = re.compile(r"([0-9A-Za-z.+]{1,8})-(bf16|int8)-([0-9a-f]{8})")


class StoredForm(NamedTuple):
    """A form in the cache whose record is intact.

    Attributes:
        folder: its path.
        digest: the sha256 of its record.
        form: the content of its record.
    """

    folder: Path
    digest: str
    form: PreparedForm


class FormFolder(NamedTuple):
    """A folder in the cache with the name of a form.

    Attributes:
        path: its path.
        key: the key of the model.
        revision: the first characters of the source's revision.
        precision: the precision.
        digest: the first digits of the digest.
        published: when the form was published, in nanoseconds since 1970.
    """

    path: Path
    key: str
    revision: str
    precision: Precision
    digest: str
    published: int

    def is_of(self, form: PreparedForm) -> bool:
        """Return whether it holds a form of the same model, source and precision, as far as its name tells."""
        names = (form.model, form.source.revision[:_SHORT], form.precision)
        return (self.key, self.revision, self.precision) == names


def source_hashes(files: Iterable[FileRecord], model: Model) -> dict[str, str]:
    """Return the sha256 of the files of a model by path in its folder, as its manifest or record lists them."""
    place, folder = model_folder(model)
    prefix = f"{folder}/"
    return {
        file.path.removeprefix(prefix): file.sha256
        for file in files
        if file.place is place and file.path.startswith(prefix)
    }


def read_source_hashes(model: Model, places: Places, lock: Lock | None = None) -> dict[str, str] | None:
    """Return the sha256 of the files of a model as its record in the cache has them; None if it has no valid record."""
    try:
        record = parse_model_record(read_small_file(model_record_path(places, model_digest(model))))
    except (OSError, ManifestInvalid):
        return None
    return None if record_mismatch(record, model, lock) else source_hashes(record.files, model)


def form_path(form: PreparedForm, digest: str) -> PurePosixPath:
    """Return the folder of a form inside our own place."""
    name = f"{form.source.revision[:_SHORT]}-{form.precision}-{digest[:_SHORT]}"
    return PurePosixPath(PREPARED) / form.model / name


def form_folder(places: Places, form: PreparedForm, digest: str) -> Path:
    """Return the folder of a form in a cache."""
    return places.own.path / form_path(form, digest)


def records_of(form: PreparedForm, folder: PurePosixPath) -> tuple[FileRecord, ...]:
    """Return the files of a form in a folder of our own place, as the checks of a cache take them."""
    return tuple(
        FileRecord(PlaceName.OWN, f"{folder}/{file.path}", file.size, file.sha256) for file in form.files
    )


def file_records(stored: StoredForm) -> tuple[FileRecord, ...]:
    """Return the files of a stored form as the checks of a cache take them; its record is intact already."""
    return records_of(stored.form, form_path(stored.form, stored.digest))


def list_folders(places: Places, key: str | None = None) -> tuple[FormFolder, ...]:
    """Return the folders of a cache that have the name of a form, newest first; of one model, if a key is given.

    Folders that cannot be listed have none; links are not followed.
    """
    root = prepared_folder(places)
    keys = [key] if key is not None else [entry.name for entry in _subfolders(root)]
    found = [
        FormFolder(Path(entry.path), name, match[1], Precision(match[2]), match[3], _published(entry.path))
        for name in keys
        for entry in _subfolders(root / name)
        if (match := _FOLDER.fullmatch(entry.name))
    ]
    return tuple(sorted(found, key=lambda folder: (-folder.published, str(folder.path))))


def read_form(folder: Path) -> tuple[PreparedForm, bytes]:
    """Return the form in a folder, and the content of its record.

    Raises:
        FormInvalid: there is no record that can be read.
    """
    path = folder / RECORD_NAME
    try:
        content = read_small_file(path, MAX_RECORD_BYTES)
    except OSError as error:
        raise FormInvalid(str(path), f"it cannot be read: {error.strerror}") from error
    return parse_form(content, str(path)), content


def read_stored_form(folder: FormFolder) -> StoredForm:
    """Return the form in a folder of the cache.

    Raises:
        FormInvalid: its record cannot be read, or is not the one that was published there.
    """
    form, content = read_form(folder.path)
    digest = digest_of(content)
    names = (form.model, form.source.revision[:_SHORT], form.precision, digest[:_SHORT])
    if names != (folder.key, folder.revision, folder.precision, folder.digest):
        raise FormInvalid(str(folder.path / RECORD_NAME), "it is not the one that was published here")
    return StoredForm(folder.path, digest, form)


def find(
    places: Places, key: str, hashes: Mapping[str, str], precision: Precision, revision: str = ""
) -> StoredForm | None:
    """Return the form of a model that counts: the newest that was made from its files. Its files are not checked.

    Args:
        places: of the cache.
        key: of the model.
        hashes: of the model's files (`source_hashes`).
        precision: that the catalog asks for.
        revision: of the model's source; empty: any. Forms of other revisions are not even read.

    Returns:
        None if the cache has no form of these files in this precision.

    Raises:
        FormInvalid: the newest form has no record that can be trusted.
    """
    for folder in list_folders(places, key):
        if folder.precision is precision and folder.revision == (revision[:_SHORT] or folder.revision):
            stored = read_stored_form(folder)
            if not source_mismatch(stored.form, hashes):
                return stored
    return None


def _subfolders(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry for entry in entries if entry.is_dir(follow_symlinks=False)), key=lambda one: one.name
            )
    except OSError:
        return []


def _published(folder: str) -> int:
    try:
        return os.lstat(os.path.join(folder, RECORD_NAME)).st_mtime_ns
    except OSError:
        try:
            return os.lstat(folder).st_mtime_ns
        except OSError:  # removed since the folder was listed
            return 0
