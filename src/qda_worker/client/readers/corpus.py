"""Read a corpus: files and folders of any of the formats, one segment after the other.

A file that cannot be read is an error of the call if it is the only one; among several it is a segment with the error,
and the others are read. Segments are named by their number in the file, and among several files by the file, too.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from model_cache.errors import UsageError
from qda_worker.client.readers.file_reader import FileReader
from qda_worker.client.readers.files import STDIN, find_files
from qda_worker.client.readers.options import ReadingOptions
from qda_worker.client.readers.segment import InvalidSegment, Segment
from qda_worker.client.results import ItemError
from qda_worker.limits import MAX_ID_BYTES


def _ignore(_: str) -> None:
    """Take a message and do nothing."""


def read_corpus(
    files: Sequence[str],
    options: ReadingOptions | None = None,
    *,
    stdin: BinaryIO | None = None,
    warn: Callable[[str], None] = _ignore,
    leave_out: Iterable[Path | int] = (),
) -> Iterator[Segment]:
    """Yield the segments of files and folders; those that cannot be sent are `InvalidSegment`.

    >>> for segment in read_corpus(["interviews"]):
    ...     print(segment.source, segment.speaker, segment.text)

    Args:
        files: paths of files and folders; `-` means `stdin`.
        options: how to read them; by default as suits each file.
        stdin: the stream of `-`.
        warn: called with a message about what was left out or assumed, and about each segment that cannot be sent.
        leave_out: files that are left out of folders, as the file of the results: paths, or file descriptors.

    Raises:
        UsageError: when the only file cannot be read, or there is none.
    """
    options = options or ReadingOptions()
    paths, unknown = find_files(files, leave_out)
    if unknown:
        warn(unknown)
    several = len(paths) > 1
    for path in paths:
        source = "stdin" if path == STDIN else path
        reader = FileReader(path, source, options, warn)
        try:
            for segment in reader.segments(stdin if stdin is not None else BytesIO()):
                named = _with_id(segment, several=several)
                if isinstance(named, InvalidSegment):
                    warn(_problem(named, several=several))
                yield named
        except UsageError as error:
            if not several:
                raise
            problem = ItemError("ARGUMENT_INVALID", error.message, error.remedy)
            warn(f"{error.message}. Remedy: {error.remedy}")
            yield InvalidSegment("", _short(source), source, error=problem)


def _with_id(segment: Segment, *, several: bool) -> Segment:
    """Return the segment with an id that is unique in the corpus, if the ids in each file are."""
    if not segment.id:  # a whole file
        return replace(segment, id=_short(segment.source if several else Path(segment.source).name))
    if not several:
        return segment
    room = max(0, MAX_ID_BYTES - len(segment.id.encode(errors="replace")) - 1)
    return replace(segment, id=f"{_short(segment.source, room)}#{segment.id}")


def _short(name: str, room: int = MAX_ID_BYTES) -> str:
    """Return a file's name as an id, or a part of one, of so many bytes."""
    encoded = os.fsencode(name).decode(errors="replace").encode()
    return encoded[len(encoded) - min(room, len(encoded)) :].decode(errors="ignore")


def _problem(segment: InvalidSegment, *, several: bool) -> str:
    where = f"{segment.source}, " if several or segment.place is not None else ""
    return f"{where}{segment.error.message}"
