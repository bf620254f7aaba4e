"""Paths inside the places of a cache.

Models lie in the libraries' own layouts, so that other projects can use them; manifests and records lie in a place of
our own. Paths inside a place are relative POSIX paths; `model_cache.places` has the path of each place on this machine.
"""

import os
from pathlib import Path, PurePosixPath
from typing import Final

from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource
from model_cache.manifest import FileRecord
from model_cache.places import PlaceName, Places

# Inside the hub place: the beginning of the name of each folder with a model.
REPOSITORY_PREFIX: Final = "models--"
# Inside the spaCy place: the folder of our unpacked wheels.
PACKAGES: Final = ".packages"
# Inside PACKAGES: an empty file for each copy of ours beside PACKAGES, on a volume without links. A copy without one
# is not ours, even if its content is the same: the user installed it.
COPY_MARKERS: Final = ".copies"
# Inside our own place: the folder of the prepared forms.
PREPARED: Final = "prepared"


def repository_folder(repository: str) -> PurePosixPath:
    """Return the folder that the hub client uses for a repository: `models--ORG--NAME`."""
    return PurePosixPath(REPOSITORY_PREFIX + repository.replace("/", "--"))


def repository_name(folder_name: str) -> str:
    """Return the repository that the hub client keeps in a folder `models--ORG--NAME`: `ORG/NAME`."""
    return folder_name.removeprefix(REPOSITORY_PREFIX).replace("--", "/", 1)


def snapshot_folder(source: HuggingFaceSource) -> PurePosixPath:
    """Return the folder of one commit inside the hub place: `models--ORG--NAME/snapshots/<commit>`."""
    return repository_folder(source.repository) / "snapshots" / source.revision


def spacy_package_folder(source: SpacySource) -> PurePosixPath:
    """Return the folder of an unpacked wheel inside the spaCy place.

    Its name has the version and the wheel's hash, so that two versions, or two builds of one version, can coexist.
    """
    return PurePosixPath(PACKAGES) / f"{source.package}-{source.version}-{source.sha256[:8]}"


def spacy_model_folder(source: SpacySource) -> PurePosixPath:
    """Return the folder with `config.cfg` and `meta.json` inside the spaCy place; `spacy.load` accepts its path."""
    return spacy_package_folder(source) / source.package / f"{source.package}-{source.version}"


def model_folder(model: Model) -> tuple[PlaceName, PurePosixPath]:
    """Return the place, and the folder inside it, from which a library loads the model."""
    if isinstance(model.source, HuggingFaceSource):
        return PlaceName.HUB, snapshot_folder(model.source)
    return PlaceName.SPACY, spacy_model_folder(model.source)


def model_path(places: Places, model: Model) -> Path:
    """Return the path on this machine from which a library loads the model."""
    name, folder = model_folder(model)
    return places.of(name).path / folder


def recorded_file_path(places: Places, file: FileRecord) -> str:
    """Return the full path of a file that a record lists."""
    return path_below(str(places.of(file.place).path), file.path)


def path_below(folder: str, path: str) -> str:
    """Return the full path of a relative POSIX path: faster than `Path`, because a check asks for thousands."""
    return f"{folder}/{path}" if os.sep == "/" else os.path.join(folder, path.replace("/", os.sep))


def former_cache(places: Places) -> Path:
    """Return the folder that sentence-transformers used as its cache before it shared that of the hub."""
    return places.torch.path / "sentence_transformers"


def manifest_path(places: Places, generation: str) -> Path:
    """Return the path of a generation's manifest."""
    return places.own.path / "manifests" / f"{generation}.json"


def model_record_path(places: Places, digest: str) -> Path:
    """Return the path of a model's record; `digest` is its `model_digest`."""
    return places.own.path / "models" / f"{digest}.json"


def deep_check_path(places: Places, generation: str) -> Path:
    """Return the path of the result of a generation's last deep check."""
    return places.own.path / "deep-checks" / f"{generation}.json"


def prepared_folder(places: Places) -> Path:
    """Return the folder of all prepared forms of a cache."""
    return places.own.path / PREPARED


def has_forms(places: Places) -> bool:
    """Return whether a cache may have prepared forms."""
    return prepared_folder(places).is_dir()


def record_folders(places: Places) -> tuple[Path, ...]:
    """Return the folders of manifests, records, references, notes and prepared forms."""
    names = ("manifests", "models", "references", "refs", "whole-bytes", "deep-checks", PREPARED)
    return tuple(places.own.path / name for name in names)
