"""The layers of an OCI image of a cache: which files, folders and links each of them has.

The image is a cache in one folder, as `--cache` takes it, so `cache-check` reads it as it reads a volume:

* One layer a model, in the order of the keys: blobs and snapshot links of a hub model, or the unpacked wheel of a
  package. It depends on the model alone, so two generations share the layers of the models that they share. A blob that
  two models of one repository share is in the layer of the first.
* One layer for each prepared form.
* A last, small layer with what depends on the whole catalog: manifest, records, `refs/main`, tree lists, and the names
  under which other programs find packages and sentence-transformers models.

A layer is a tar stream without anything that differs between two machines: names are sorted, times and owners 0. It is
not compressed: weights do not shrink, and its digest does not depend on the version of a compressor.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cache_warmer.archive import tar
from cache_warmer.archive.format import ArchiveContents, dump_manifest_member, manifest_name, member_name
from cache_warmer.archive.forms import ArchivedForm
from cache_warmer.artifacts.former_folders import former_links
from cache_warmer.artifacts.hf_layout import dump_note, dump_tree_list
from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, model_digest
from model_cache.errors import UsageError
from model_cache.layout import (
    model_record_path,
    repository_folder,
    snapshot_folder,
    spacy_package_folder,
)
from model_cache.manifest import FileRecord, ModelRecord, dump_model_record
from model_cache.places import PlaceName, Places, resolve_places
from model_cache.prepared_form import RECORD_NAME, digest_of
from model_cache.prepared_store import form_path

Write = Callable[[bytes], object]
CopyContent = Callable[[FileRecord, Write], None]


@dataclass(frozen=True, slots=True)
class Link:
    """A relative symbolic link; `target` is a name in the image."""

    target: str


# What a layer has under a name: a file of the cache, the content of a small file, or a link.
Entry = FileRecord | bytes | Link

# The image seen as a cache whose root is the root of the image.
_IMAGE: Final = "/"
# Beginning of the names by which a layer deletes files of lower ones.
_WHITEOUT: Final = ".wh."


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    Attributes:
        title: what it holds, as the image's history shows it.
        entries: everything but folders, by its name in the image.
        repeated: files of the cache whose content an entry has already; they are verified, but not written.
    """

    title: str
    entries: Mapping[str, Entry]
    repeated: tuple[FileRecord, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that container runtimes take for deletions (OCI image spec, layer.md, "Whiteouts").

        Raises:
            UsageError: there is such a name.
        """
        for name in self.entries:
            if any(part.startswith(_WHITEOUT) for part in PurePosixPath(name).parts):
                raise UsageError(
                    f"{name} cannot be in an image, where names that begin with {_WHITEOUT} delete a file",
                    "export a plain archive instead (without --format oci-image)",
                )

    def size(self) -> int:
        """Return the bytes of the tar stream."""
        return sum(len(header) + _padded(_length(entry)) for header, entry in self._members()) + len(tar.END)

    def write(self, write: Write, copy_content: CopyContent) -> None:
        """Write the tar stream.

        Args:
            write: takes the next bytes.
            copy_content: verifies a file of the cache and writes its content.
        """
        for header, entry in self._members():
            write(header)
            if isinstance(entry, bytes):
                write(entry)
            elif isinstance(entry, FileRecord):
                copy_content(entry, write)
            write(tar.padding(_length(entry)))
        for file in self.repeated:
            copy_content(file, _discard)
        write(tar.END)

    def _members(self) -> Iterator[tuple[bytes, Entry | None]]:
        """Yield header and entry of each member in the order of the names; folders have no entry."""
        folders = {str(parent) for name in self.entries for parent in PurePosixPath(name).parents} - {"."}
        for name in sorted({*self.entries, *folders}):
            entry = self.entries.get(name)
            if entry is None:
                yield tar.folder_header(name), None
            elif isinstance(entry, Link):
                target = posixpath.relpath(entry.target, posixpath.dirname(name))
                yield tar.link_header(name, target), entry
            else:
                yield tar.header(name, _length(entry)), entry


def make_layers(contents: ArchiveContents) -> list[Layer]:
    """Return the layers of the image, the lowest first."""
    models = {model.key: model for model in contents.models}
    written: set[str] = set()
    layers = [
        _model_layer(models[record.key], record, contents.blobs, written)
        for record in contents.manifest.models
    ]
    layers += [_form_layer(form) for form in contents.forms]
    return [*layers, _record_layer(contents, models)]


def _model_layer(model: Model, record: ModelRecord, blobs: Mapping[str, str], written: set[str]) -> Layer:
    entries: dict[str, Entry] = {}
    repeated = []
    for file in record.files:
        name = target = member_name(file)
        if file.place is PlaceName.HUB:
            repository = file.path.partition("/")[0]
            target = f"{name.removesuffix(file.path)}{repository}/blobs/{blobs[file.path]}"
            entries[name] = Link(target)
        if target not in written:
            entries[target] = file
        elif name not in written:  # another name of the blob
            repeated.append(file)
        written |= {name, target}
    return Layer(f"model {model.key} at {record.revision}", entries, tuple(repeated))


def _form_layer(archived: ArchivedForm) -> Layer:
    form, folder = archived.form, form_path(archived.form, digest_of(archived.record))
    entries: dict[str, Entry] = {member_name(file): file for file in archived.files()}
    entries[_name_of(_places().own.path / folder / RECORD_NAME)] = archived.record
    return Layer(f"prepared form of {form.model} in {form.precision}", entries)


def _record_layer(contents: ArchiveContents, models: Mapping[str, Model]) -> Layer:
    places = _places()
    entries: dict[str, Entry] = {manifest_name(contents.manifest.generation): dump_manifest_member(contents)}
    for record in contents.manifest.models:
        model = models[record.key]
        entries[_name_of(model_record_path(places, model_digest(model)))] = dump_model_record(
            record._replace(fetched=())  # notes of a host
        )
        if isinstance(model.source, HuggingFaceSource):
            entries |= _hub_names(model, model.source, record.files, places)
    entries |= _tree_lists(contents, places)
    for model in contents.models:
        if isinstance(model.source, SpacySource):
            entries |= _package_links(model.source, contents.files(), places)
    return Layer(f"records of generation {contents.manifest.generation}", entries)


def _hub_names(
    model: Model, source: HuggingFaceSource, files: Iterable[FileRecord], places: Places
) -> dict[str, Entry]:
    """Return `refs/main`, our note of it, and the links below `TORCH_HOME`, as the warmer writes them."""
    folder = places.hub.path / repository_folder(source.repository)
    names: dict[str, Entry] = {
        _name_of(folder / "refs" / "main"): source.revision.encode(),
        _name_of(places.own.path / "refs" / f"{folder.name}.json"): dump_note({source.revision}),
    }
    links = former_links(model, source, _of_snapshot(source, files), places)
    return names | {_name_of(link): Link(_name_of(target)) for link, target in links.items()}


def _tree_lists(contents: ArchiveContents, places: Places) -> dict[str, Entry]:
    lists: dict[str, Entry] = {}
    for model in contents.models:
        if isinstance(model.source, HuggingFaceSource):
            snapshot = snapshot_folder(model.source)
            of_commit = {
                name: (file, contents.blobs[file.path])
                for name, file in _of_snapshot(model.source, contents.files()).items()
            }
            path = places.hub.path / snapshot.parents[1] / "trees" / f"{snapshot.name}.json"
            lists[_name_of(path)] = dump_tree_list(of_commit)
    return lists


def _of_snapshot(source: HuggingFaceSource, files: Iterable[FileRecord]) -> dict[str, FileRecord]:
    """Return the files of a commit by their names in the repository."""
    prefix = f"{snapshot_folder(source)}/"
    return {
        file.path.removeprefix(prefix): file
        for file in files
        if file.place is PlaceName.HUB and file.path.startswith(prefix)
    }


def _package_links(source: SpacySource, files: Iterable[FileRecord], places: Places) -> dict[str, Entry]:
    """Return links to the package and its `.dist-info` folder, by which Python imports it."""
    tree = spacy_package_folder(source)
    tops = {
        PurePosixPath(file.path).relative_to(tree).parts[0]
        for file in files
        if file.place is PlaceName.SPACY and PurePosixPath(file.path).is_relative_to(tree)
    }
    return {
        _name_of(places.spacy.path / top): Link(_name_of(places.spacy.path / tree / top))
        for top in tops
        if top == source.package or top.endswith(".dist-info")
    }


def _places() -> Places:
    return resolve_places(_IMAGE, {}, Path(_IMAGE))


def _name_of(path: Path) -> str:
    """Return the name in the image of a path in its cache."""
    return path.relative_to(_IMAGE).as_posix()


def _length(entry: Entry | None) -> int:
    if isinstance(entry, FileRecord):
        return entry.bytes
    return len(entry) if isinstance(entry, bytes) else 0


def _padded(size: int) -> int:
    return size + len(tar.padding(size))


def _discard(_: bytes) -> None:
    """Take bytes that are only verified."""
