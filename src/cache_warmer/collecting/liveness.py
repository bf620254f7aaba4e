"""Which releases still live: those whose Deployment the API server knows. Whatever cannot be asked counts as living."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from model_cache.references import Reference

Exists = Callable[[str, str], bool]
"""Asks whether a namespace has a Deployment of that name. Raises whatever the way to the answer raises."""


def dead_releases(
    references: Mapping[Path, Reference], exists: Exists, tell: Callable[[str], None]
) -> frozenset[Path]:
    """Return the files of references whose Deployment is gone. ``tell`` is called for each that cannot be asked."""
    return frozenset(path for path in _of_a_release(references) if not _lives(references[path], exists, tell))


def _of_a_release(references: Mapping[Path, Reference]) -> Iterable[Path]:
    return (path for path, reference in references.items() if reference.namespace and reference.deployment)


def _lives(reference: Reference, exists: Exists, tell: Callable[[str], None]) -> bool:
    try:
        return exists(reference.namespace, reference.deployment)
    except Exception as error:  # noqa: BLE001  # no rights, no API server, no client: never a reason to delete
        said = " ".join(str(error).split())[:200]
        tell(f"{reference.name} counts as living: its Deployment cannot be asked for ({said})")
        return True
