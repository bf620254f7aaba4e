"""Versions of the installed libraries, from the metadata of their packages: nothing is imported.

The versions that this project accepts come from its own metadata, and the version of spaCy that a package was made for
from its `meta.json`.
"""

import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cache_warmer.doctor.diagnosis import Finding, Severity
from model_cache.file_io import read_small_file
from model_cache.json_values import parse_json_object
from model_cache.reasons import Reason

_PROJECT: Final = "qda-worker"
_HUB: Final = "huggingface_hub"
LIBRARIES: Final = (
    *(_PROJECT, _HUB, "hf-xet", "transformers", "tokenizers", "sentence-transformers", "safetensors"),
    *("torch", "spacy", "numpy", "protobuf", "grpcio", "kubernetes"),
)
# The extras of the project whose requirements are compared.
_EXTRAS: Final = ("", "warmer", "worker")
# These versions ask the hub for each tokenizer with a large vocabulary, and fail offline.
_ASKING_OFFLINE: Final = frozenset({"4.57.2", "4.57.3"})
_MAX_META_BYTES: Final = 16 << 20


def installed_versions() -> dict[str, str | None]:
    """Return the version of each library that matters; None if it is not installed. Never raises."""
    return {name: _version(name) for name in LIBRARIES}


def major_version(version: str | None) -> int | None:
    """Return the first number of a version; None if there is none."""
    first = (version or "").partition(".")[0]
    return int(first) if first.isascii() and first.isdigit() else None


def check_libraries(versions: Mapping[str, str | None]) -> Iterator[Finding]:
    """Yield the findings about installed versions."""
    if versions.get(_HUB) is None:
        yield _finding(
            "the hub client is not installed: `warm`, `plan`, `repair` and `lock` cannot ask a hub",
            "install it: pip install 'qda-worker[warmer]'",
        )
    if versions.get("transformers") in _ASKING_OFFLINE:
        yield _finding(
            f"transformers {versions['transformers']} asks the hub for each tokenizer with more than 100,000 words, "
            "and fails offline",
            "install another version: pip install 'transformers!=4.57.2,!=4.57.3'",
        )
    for text in _requirements():
        yield from _check_requirement(text, versions)


def check_spacy_packages(folders: tuple[Path, ...], spacy: str | None) -> Iterator[Finding]:
    """Yield a finding for each spaCy package that was made for another version of spaCy.

    Args:
        folders: where packages may be installed.
        spacy: the installed version; None: spaCy is not installed, and nothing is compared.
    """
    if spacy is None:
        return
    for folder in folders:
        for meta, package in spacy_packages(folder):
            allowed = meta.get("spacy_version")
            if isinstance(allowed, str) and not _is_allowed(spacy, allowed):
                yield _finding(
                    f"{package} was made for spaCy {allowed[:60]}, and {spacy} is installed",
                    "install a package for this version of spaCy, or the spaCy that it names",
                )


def spacy_packages(folder: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """Yield `meta.json` and folder of each spaCy package directly below a folder; what is closed is left out."""
    try:
        candidates = sorted(folder.glob("*/meta.json"))
    except (OSError, ValueError):
        return
    for path in candidates:
        try:
            meta = parse_json_object(read_small_file(path, _MAX_META_BYTES))
        except (OSError, ValueError):
            continue
        if "spacy_version" in meta:
            yield meta, path.parent


def site_packages() -> tuple[Path, ...]:
    """Return the folders from which this Python imports packages."""
    return tuple(
        dict.fromkeys(Path(path) for path in sys.path if path.endswith(("site-packages", "dist-packages")))
    )


def _version(name: str) -> str | None:
    try:
        version: str | None = importlib.metadata.version(name)
    except Exception:  # noqa: BLE001  # metadata that is damaged: the library counts as not installed
        return None
    return version


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires(_PROJECT) or []
    except Exception:  # noqa: BLE001  # the same
        return []


def _check_requirement(text: str, versions: Mapping[str, str | None]) -> Iterator[Finding]:
    try:
        from packaging.requirements import (
            InvalidRequirement,
            Requirement,
        )  # here: a requirement of huggingface_hub
    except ImportError:
        return
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return
    known = {name.replace("_", "-").lower(): version for name, version in versions.items()}
    version = known.get(requirement.name.replace("_", "-").lower())
    marker = requirement.marker
    applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in _EXTRAS)
    if version is not None and applies and not _is_allowed(version, str(requirement.specifier)):
        yield _finding(
            f"{requirement.name} {version} is installed, and this project was tested with {requirement.specifier}",
            f"pip install '{requirement.name}{requirement.specifier}'",
        )


def _is_allowed(version: str, specifier: str) -> bool:
    """Return whether a version is one that a specifier allows; True if that cannot be decided."""
    try:
        from packaging.specifiers import (
            InvalidSpecifier,
            SpecifierSet,
        )  # here: a requirement of huggingface_hub
        from packaging.version import InvalidVersion
    except ImportError:
        return True
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


def _finding(message: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, "library-version", Reason.USAGE, message, remedy)
