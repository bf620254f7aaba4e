"""Rules that decide whether a manifest or a model record fits its catalog.

A record names its model by a digest, and any program that can write to the volume can write any digest. So a record
counts only if its files are those that the catalog selects:

* every file lies in the folder of its model, once, and is selected by a name or pattern of the catalog;
* every name and pattern of the catalog has a file;
* a spaCy package consists of the package and of one `<name>-<version>.dist-info`, and is a model;
* what the lock says of the same commit or wheel is what the record says.

`cache-check`, the worker's readiness, `warm`, `plan`, `repair`, `export`, `import` and `collect` apply them. A record
that does not fit is corrupt, and the next `repair` or `warm` writes a new one. The functions return the first mismatch
as a predicate, for a sentence about the record or the manifest; an empty string means that it fits. They read no file:
that the files are there, and have their hashes, is what `model_cache.check` compares.

`folder_mismatch` needs no catalog. It is for the records of catalogs that are not at hand, as in `collect`: their files
must at least lie in the folder of the source that the record itself names.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, matching_names, model_digest
from model_cache.catalog.catalog import generation as generation_of
from model_cache.catalog.lock import Lock, LockedFile, LockedModel
from model_cache.layout import PACKAGES, snapshot_folder, spacy_package_folder
from model_cache.manifest import FileRecord, Manifest, ModelRecord
from model_cache.places import PlaceName

# Files without which a package is no model, below `<package>/<package>-<version>`.
SPACY_MODEL_FILES: Final = ("config.cfg", "meta.json")

_DIST_INFO: Final = ".dist-info"
_RECORD: Final = "RECORD"
# Files of a `.dist-info` that are not the wheel's own: RECORD, which installers rewrite, and what they add.
_NOT_OF_THE_WHEEL: Final = frozenset({_RECORD, "INSTALLER", "REQUESTED", "direct_url.json"})
_COMPILED: Final = ".pyc"
# Runs of these characters are equal in the names of wheels (binary distribution format).
_SEPARATORS: Final = re.compile(r"[-_.]+")


def record_mismatch(record: ModelRecord, model: Model, lock: Lock | None = None) -> str:
    """Return why a record is not one of this model; empty if it fits.

    Args:
        record: from the cache, or from an archive.
        model: of the catalog.
        lock: of the catalog; None: nothing is compared with it.
    """
    if record.digest != model_digest(model):
        return "is the record of another model"
    if (record.key, record.source, record.revision) != (model.key, model.source_name, model.revision):
        return f"names {record.key}: {record.source} {record.revision}, where {model.key} should be"
    if not record.files:
        return f"lists no file of {model.key}"
    files: dict[str, FileRecord] = {}
    place, folder = source_folder(model.source)
    for file in record.files:
        name = file.path.removeprefix(f"{folder}/")
        if file.place is not place or name == file.path:
            return _foreign(file, model)
        if name in files:
            return f"lists {file.path} twice"
        files[name] = file
    if nested := _file_below_a_file(files):
        return f"lists {nested}, which is a folder of other files, too"
    if isinstance(model.source, HuggingFaceSource):
        return _snapshot_mismatch(files, model, model.source, lock)
    return _package_mismatch(files, model, model.source, lock)


def manifest_mismatch(manifest: Manifest, models: Sequence[Model], lock: Lock | None = None) -> str:
    """Return why a manifest is not that of a catalog with these models; empty if it fits."""
    by_digest = {model_digest(model): model for model in models}
    records = {record.digest: record for record in manifest.models}
    is_complete = set(records) == set(by_digest) and len(records) == len(manifest.models)
    if manifest.generation != generation_of(models) or not is_complete:
        return "is the manifest of another generation"
    for digest, record in records.items():
        if mismatch := record_mismatch(record, by_digest[digest], lock):
            return mismatch
    known: dict[tuple[PlaceName, str], FileRecord] = {}
    for file in (file for record in manifest.models for file in record.files):
        if known.setdefault((file.place, file.path), file) != file:
            return f"gives {file.path} two contents"
    return ""


def folder_mismatch(record: ModelRecord) -> str:
    """Return which file of a record lies outside the folder of the record's own source; empty if none does."""
    snapshot = str(snapshot_folder(HuggingFaceSource(record.source, record.revision, ())))
    # the format of `spacy_package_folder`, whose hash the record does not have
    package = re.compile(
        rf"{re.escape(PACKAGES)}/{re.escape(record.source)}-{re.escape(record.revision)}-[0-9a-f]{{8}}/.+"
    )
    for file in record.files:
        of_snapshot = file.place is PlaceName.HUB and file.path.startswith(f"{snapshot}/")
        if not of_snapshot and not (file.place is PlaceName.SPACY and package.fullmatch(file.path)):
            return f"lists {file.place}: {file.path}, which is no file of {record.source} {record.revision}"
    return ""


def source_folder(source: HuggingFaceSource | SpacySource) -> tuple[PlaceName, str]:
    """Return the place, and the folder in it, that holds all files of a source."""
    if isinstance(source, HuggingFaceSource):
        return PlaceName.HUB, str(snapshot_folder(source))
    return PlaceName.SPACY, str(spacy_package_folder(source))


def locked_git_sha1s(model: Model, lock: Lock | None) -> dict[str, str]:
    """Return git's sha1 of each file of a snapshot of which the lock has no sha256, by its path in the place.

    A record has no such hash. Who reads the files compares it.
    """
    if not isinstance(model.source, HuggingFaceSource):
        return {}
    folder = snapshot_folder(model.source)
    return {
        f"{folder}/{name}": locked.git_sha1
        for entry in _locked_models(model, lock)
        for name, locked in entry.files.items()
        if locked.git_sha1 is not None and locked.sha256 is None
    }


def is_locked(record: ModelRecord, model: Model, lock: Lock | None) -> bool:
    """Return whether the lock has a hash of every file of a record: only then does it prove the content."""
    entries = list(_locked_models(model, lock))
    if not isinstance(model.source, HuggingFaceSource):
        return any(locked.contents_sha256 for entry in entries for locked in entry.files.values())
    folder = snapshot_folder(model.source)
    known = {
        f"{folder}/{name}"
        for entry in entries
        for name, locked in entry.files.items()
        if locked.sha256 is not None or locked.git_sha1 is not None
    }
    return all(file.path in known for file in record.files)


def contents_sha256(files: Mapping[str, tuple[int, str]]) -> str:
    """Return the digest of a wheel's own files, as the lock has it in `contents_sha256`.

    It is the sha256 of the wheel's RECORD in a canonical form: one line `<path>,sha256=<hex>,<bytes>` for each file,
    sorted by path, without RECORD itself and without what installers add. So it is the same for a tree that was
    unpacked from the wheel and for one that was taken over from pip.

    Args:
        files: size in bytes and sha256 by path in the wheel.
    """
    lines = [
        f"{path},sha256={sha256},{size}\n"
        for path, (size, sha256) in sorted(files.items())
        if not path.endswith(_COMPILED) and not _is_of_an_installer(path)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_dist_info(name: str, source: SpacySource) -> bool:
    """Return whether a folder's name is that of the metadata of this package and version."""
    return _plain(name) == _plain(f"{source.package}-{source.version}{_DIST_INFO}")


def _snapshot_mismatch(
    files: Mapping[str, FileRecord], model: Model, source: HuggingFaceSource, lock: Lock | None
) -> str:
    matches = {pattern: matching_names(pattern, files) for pattern in source.files}
    selected = frozenset(chain.from_iterable(matches.values()))
    for name, file in files.items():
        if name not in selected:
            return _foreign(file, model)
    for pattern, names in matches.items():
        if not names:
            return f'lists no file for "{pattern}", which the catalog names for {model.key}'
    for entry in _locked_models(model, lock):
        locked_names = {name for pattern in source.files for name in matching_names(pattern, entry.files)}
        for name in filter(locked_names.__contains__, entry.files):
            if name not in files:
                return f"does not list {name} of {model.key}, which the lock has"
            if mismatch := _locked_mismatch(files[name], entry.files[name]):
                return mismatch
    return ""


def _package_mismatch(
    files: Mapping[str, FileRecord], model: Model, source: SpacySource, lock: Lock | None
) -> str:
    inner = f"{source.package}/{source.package}-{source.version}"
    for name in SPACY_MODEL_FILES:
        if f"{inner}/{name}" not in files:
            return f"does not list {inner}/{name} of {model.key}"
    tops = {name.partition("/")[0] for name in files} - {source.package}
    for name, file in files.items():
        top = name.partition("/")[0]
        if top in tops and not is_dist_info(top, source):
            return _foreign(file, model)
    if len(tops) != 1 or f"{next(iter(tops))}/{_RECORD}" not in files:
        return f"does not list one {source.package}-{source.version}{_DIST_INFO} with its {_RECORD}"
    return _wheel_mismatch(files, model, source, lock)


def _wheel_mismatch(
    files: Mapping[str, FileRecord], model: Model, source: SpacySource, lock: Lock | None
) -> str:
    for locked in (locked for entry in _locked_models(model, lock) for locked in entry.files.values()):
        if locked.sha256 not in (None, source.sha256):
            return f"is of the wheel {source.sha256}, where the lock has {locked.sha256} for {model.key}"
        found = contents_sha256({name: (file.bytes, file.sha256) for name, file in files.items()})
        if locked.contents_sha256 not in (None, found):
            return f"lists other files of {source.wheel_name} than the lock has"
    return ""


def _locked_models(model: Model, lock: Lock | None) -> Iterator[LockedModel]:
    """Yield the entries of the lock about the same commit or wheel, under whichever key.

    Another key may name the same commit, and its files are the same files. Of a package, an entry with another key may
    be about another wheel of the same version: it says nothing of this one.
    """
    for key, entry in lock.models.items() if lock is not None else ():
        if (entry.source, entry.revision) != (model.source_name, model.revision):
            continue
        is_same_wheel = isinstance(model.source, HuggingFaceSource) or any(
            locked.sha256 == model.source.sha256 for locked in entry.files.values()
        )
        if entry.files and (key == model.key or is_same_wheel):
            yield entry


def _locked_mismatch(file: FileRecord, locked: LockedFile) -> str:
    if locked.bytes not in (None, file.bytes):
        return f"gives {file.path} {file.bytes} bytes, where the lock has {locked.bytes}"
    if locked.sha256 not in (None, file.sha256):
        return f"gives {file.path} the sha256 {file.sha256}, where the lock has {locked.sha256}"
    return ""


def _file_below_a_file(names: Mapping[str, FileRecord]) -> str:
    for name in names:
        folder = name.rpartition("/")[0]
        while folder:
            if folder in names:
                return folder
            folder = folder.rpartition("/")[0]
    return ""


def _foreign(file: FileRecord, model: Model) -> str:
    return f"lists {file.place}: {file.path}, which is no file of {model.key}"


def _is_of_an_installer(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return folder.endswith(_DIST_INFO) and name in _NOT_OF_THE_WHEEL


def _plain(name: str) -> str:
    return _SEPARATORS.sub("_", name).lower()
