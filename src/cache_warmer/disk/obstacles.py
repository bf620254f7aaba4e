"""Moves aside what stands where a file of ours must be: a folder under its name, a file where its folder should be.

Rename replaces files and links, not these. Nothing is deleted: whose they are is not known. The new name ends as one of
an abandoned transfer does, so that cleaning up finds it.
"""

import logging
import os
from pathlib import Path

_LOG = logging.getLogger(__name__)


def clear_way(path: Path, below: Path) -> None:
    """Let a file be renamed to ``path``, and its folders below ``below`` be made. Raises ``OSError``."""
    for folder in reversed(path.parents):
        if (
            folder != below
            and folder.is_relative_to(below)
            and os.path.lexists(folder)
            and not folder.is_dir()
        ):
            _set_aside(folder)
    if path.is_dir() and not path.is_symlink():
        _set_aside(path)


def _set_aside(path: Path) -> None:
    aside = path.with_name(f"{path.name[:200]}.{os.getpid()}.set-aside.incomplete")
    _LOG.warning("%s is in the way: moved to %s", path, aside)
    path.rename(aside)
