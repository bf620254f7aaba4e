"""Where things lie inside a place: the libraries' own layouts, so that any project can share them.

Paths are relative POSIX paths; `places` says where a place is on this machine.
"""

from pathlib import Path, PurePosixPath

from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource
from model_cache.manifest import FileRecord
from model_cache.places import PlaceName, Places


def repository_folder(repository: str) -> PurePosixPath:
    """Return the hub client's folder of a repository: `models--ORG--NAME`."""
    return PurePosixPath("models--" + repository.replace("/", "--"))


def snapshot_folder(source: HuggingFaceSource) -> PurePosixPath:
    """Return the folder of one commit, `models--ORG--NAME/snapshots/<commit>`, inside the hub place."""
    return repository_folder(source.repository) / "snapshots" / source.revision


def spacy_tree(source: SpacySource) -> PurePosixPath:
    """Return the folder of an unpacked wheel inside the spaCy place.

    The wheel's hash is part of its name, so that two versions, or two builds of one, live side by side.
    """
    return PurePosixPath(".packages") / f"{source.package}-{source.version}-{source.sha256[:8]}"


def spacy_model_folder(source: SpacySource) -> PurePosixPath:
    """Return the folder with `config.cfg` and `meta.json`, which `spacy.load` takes as a path."""
    return spacy_tree(source) / source.package / f"{source.package}-{source.version}"


def model_folder(model: Model) -> tuple[PlaceName, PurePosixPath]:
    """Return the place and the folder in it from which a library loads the model."""
    if isinstance(model.source, HuggingFaceSource):
        return PlaceName.HUB, snapshot_folder(model.source)
    return PlaceName.SPACY, spacy_model_folder(model.source)


def model_path(places: Places, model: Model) -> Path:
    """Return the folder of `model_folder` on this machine."""
    name, folder = model_folder(model)
    return places.of(name).path / folder


def record_path(places: Places, file: FileRecord) -> str:
    """Return the full path of a recorded file, as reports name it."""
    return f"{places.of(file.place).path}/{file.path}"


def manifest_path(places: Places, generation: str) -> Path:
    """Return where the manifest of a complete generation lies."""
    return places.own.path / "manifests" / f"{generation}.json"


def model_record_path(places: Places, digest: str) -> Path:
    """Return where the record of one verified model lies."""
    return places.own.path / "models" / f"{digest}.json"
