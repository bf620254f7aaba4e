"""Read the sources of a project again, to show them as they are.

A result file names its sources, and it may come from someone else: it must not decide which files of this computer
become a part of a project that is passed on. So only the files that the same run has read are read, or those below a
folder that the user names.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from qda_worker.client.readers.whole_text import whole_text
from qda_worker.client.tables.refi_qda.package import ReadSource

# Endings of files that are no document.
_TABLE_ENDINGS: Final = frozenset({".csv", ".tsv", ".tab", ".xlsx", ".xlsm", ".jsonl", ".ndjson"})


def sources_among(names: Collection[str]) -> ReadSource:
    """Return the function that reads a source if it is one of these files."""
    return lambda source: _text(Path(source)) if source in names else None


def sources_below(folder: Path) -> ReadSource:
    """Return the function that reads a source if it is in the folder or its subfolders, also behind links."""
    root = folder.resolve()

    def read(source: str) -> str | None:
        try:
            path = Path(source).resolve()
        except (OSError, ValueError, RuntimeError):  # no path, or links in a circle
            return None
        return _text(path) if path.is_relative_to(root) else None

    return read


def _text(path: Path) -> str | None:
    """Return the text of a file that is there and is one document, which a table is not."""
    if not path.is_file() or path.suffix.lower() in _TABLE_ENDINGS:
        return None
    try:
        return whole_text(str(path))
    except UsageError:
        return None
