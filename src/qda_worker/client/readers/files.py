"""Find the files of a corpus: files and folders as they are given, in the order in which people number them."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from qda_worker.client.readers.json_file import may_have_texts

STDIN: Final = "-"

# Endings of the files that a folder is searched for. A file that is given by its name is read whatever its ending is.
KNOWN_ENDINGS: Final = frozenset({
    ".txt", ".text", ".md", ".docx", ".docm", ".odt", ".rtf", ".pdf", ".csv", ".tsv", ".tab", ".xlsx", ".xlsm",
    ".jsonl", ".ndjson", ".json", ".otr", ".srt", ".vtt", ".html", ".htm",
})  # fmt: skip
# Files that programs and systems write beside those of people.
_TEMPORARY: Final = re.compile(
    r"\.|~|Thumbs\.db\Z|desktop\.ini\Z|.*(?:~|\.tmp|\.bak|\.part|\.crdownload)\Z", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"(\d+)")
_LISTED_FILES: Final = 20


def find_files(given: Sequence[str], leave_out: Iterable[Path | int] = ()) -> tuple[list[str], str]:
    """Return the files of the corpus, and a message that names those of unknown types; empty if there are none.

    Folders are searched with their subfolders, in natural order (2 before 10). Hidden and temporary files in them are
    left out, as `~$interview.docx` and `.~lock.interview.odt#`. A file that is given twice is read once.

    Args:
        given: paths of files and folders; `-` for stdin.
        leave_out: files that are left out of folders, as those that the program itself writes: paths, which may be
            missing, or file descriptors.

    Raises:
        UsageError: when a file does not exist, or no file is left.
    """
    found: list[str] = []
    unknown: list[str] = []
    excluded = {_identity(each) for each in leave_out} - {None}
    for name in given:
        if name == STDIN:
            found.append(name)
            continue
        path = Path(name)
        if path.is_dir():
            for file in _walk(path):
                if excluded and _identity(file) in excluded:
                    continue
                (found if _is_known(file) else unknown).append(str(file))
        else:
            found.append(name)
    files = list(dict.fromkeys(found))
    message = _unknown_message(unknown)
    if not files:
        raise UsageError(
            f"there is no file to read in {', '.join(given)}" + (f"; {message}" if message else ""),
            f"give files with one of the endings {' '.join(sorted(KNOWN_ENDINGS))}",
        )
    return files, message


def _is_known(file: Path) -> bool:
    """Return whether a file in a folder may have texts; a JSON file may be anything, so its beginning decides."""
    ending = file.suffix.lower()
    return ending in KNOWN_ENDINGS and (ending != ".json" or may_have_texts(file))


def is_same_file(path: Path | int, other: Path | int) -> bool:
    """Return whether two paths or file descriptors lead to one file, which may have several names."""
    identity = _identity(path)
    return identity is not None and identity == _identity(other)


def _identity(path: Path | int) -> tuple[int, int] | None:
    """Return device and inode; None if there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return the key by which names sort as people number them."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold())
        for part in _NUMBER.split(text)
        if part
    ]


def _walk(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}", "give a readable folder") from error
    for entry in entries:
        if _TEMPORARY.match(entry.name):
            continue
        if entry.is_dir():
            if not entry.is_symlink():  # a link may lead back
                yield from _walk(entry)
        elif entry.is_file():
            yield entry


def _unknown_message(unknown: Sequence[str]) -> str:
    if not unknown:
        return ""
    listed = ", ".join(unknown[:_LISTED_FILES])
    more = f" and {len(unknown) - _LISTED_FILES:,} more" if len(unknown) > _LISTED_FILES else ""
    plural = "files of unknown types are" if len(unknown) > 1 else "file of an unknown type is"
    return f"{len(unknown):,} {plural} left out: {listed}{more}"
