"""Write records as a REFI-QDA project (QDPX) or a code book (QDC).

A QDPX file is a ZIP archive of `project.qde` and a text file for each source. The records are read twice: first for the
codes, which stand before the sources, then source by source, so that memory holds the records of one source. The same
records give the same bytes: GUIDs are derived from content, and the time is that of the results.
"""

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from itertools import groupby, islice
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, TypeAlias

from model_cache.errors import UsageError
from qda_worker.client.tables.layout import describe_options
from qda_worker.client.tables.records import Record, provenances
from qda_worker.client.tables.refi_qda.codes import CodeKey, code_book, guid
from qda_worker.client.tables.refi_qda.codings import CLIENT_USER, model_user, record_codings, require_codings
from qda_worker.client.tables.refi_qda.qde import ProjectHead, ProjectWriter, Selection, write_code_book
from qda_worker.client.tables.refi_qda.source_text import (
    Placement,
    SourcePart,
    joined_source,
    original_source,
)
from qda_worker.version import worker_version

Records: TypeAlias = Callable[[], Iterable[Record]]

# Returns the text of a source; None if it cannot be read again.
ReadSource: TypeAlias = Callable[[str], str | None]

_ORIGIN: Final = f"qda-client {worker_version()}"
# Texts in one source of a project. Programs show a source as one document.
MAX_TEXTS: Final = 10_000
# Bytes of `project.qde` that are kept in memory before it goes to a temporary file.
_SPOOLED_BYTES: Final = 32 * 2**20
_CAUTION: Final = (
    "Sentiment and entities were found by models and are not always right. A probability is the model's, and no "
    "measure of how sure a coding is."
)
# The earliest time that ZIP can hold.
_ZIP_EPOCH: Final = datetime(1980, 1, 1, tzinfo=UTC)


def no_source(_: str) -> str | None:
    """Return None: the sources are not read."""
    return None


def creation_time(default: float, environ: Mapping[str, str] = os.environ) -> datetime:
    """Return the time that a project tells: `SOURCE_DATE_EPOCH` if it is set, else that of the results.

    Args:
        default: the time of the results, in seconds since 1970.
        environ: the environment.

    Raises:
        UsageError: when `SOURCE_DATE_EPOCH` is not a number.
    """
    given = environ.get("SOURCE_DATE_EPOCH", "")
    try:
        return datetime.fromtimestamp(int(given) if given else int(default), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f'SOURCE_DATE_EPOCH is "{given}"', "give it seconds since 1970, or unset it"
        ) from error


def write_qdc(records: Records, file: BinaryIO) -> None:
    """Write the codes of records as a code book.

    Raises:
        UsageError: when the records have no codes.
    """
    summary = _summarize(records())
    if not summary.keys:
        raise UsageError(
            "the results have no codes: no sentiment, no entity and no speaker",
            "give results with at least one",
        )
    stream = TextIOWrapper(file, encoding="utf-8", newline="\n", write_through=True)
    write_code_book(stream, code_book(summary.keys), _ORIGIN)
    stream.detach()


def write_qdpx(
    records: Records,
    file: BinaryIO,
    *,
    name: str,
    created: datetime,
    read_source: ReadSource = no_source,
    max_texts: int = MAX_TEXTS,
) -> None:
    """Write records as a project.

    Args:
        records: returns the records; called twice.
        file: a file that can be read, too.
        name: name of the project.
        created: when the results were computed.
        read_source: returns the text of a source, to show it as it is; else the project shows the joined segments.
        max_texts: texts in one source; a longer one becomes several.

    Raises:
        UsageError: when the records have no codes, or there is none.
    """
    summary = _summarize(records())
    head = ProjectHead(
        name=name,
        origin=_ORIGIN,
        created=created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        users=[CLIENT_USER, *(user for user in summary.users if user != CLIENT_USER)],
        codes=code_book(summary.keys),
        note=summary.note,
    )
    stamp = max(created, _ZIP_EPOCH).timetuple()[:6]
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        SpooledTemporaryFile(_SPOOLED_BYTES) as spool,
    ):
        stream = TextIOWrapper(spool, encoding="utf-8", newline="\n", write_through=True)
        writer = ProjectWriter(stream, head)
        with writer.project():
            for source in _sources(records(), read_source, max_texts):
                writer.add_source(source.guid, source.name, source.selections)
                _add(archive, f"sources/{source.guid}.txt", source.text.encode(), stamp)
        _add(archive, f"sources/{head.note_guid}.txt", head.note.encode(errors="replace"), stamp)
        stream.flush()
        spool.seek(0)
        with archive.open(_entry("project.qde", stamp), "w", force_zip64=True) as entry:
            while chunk := spool.read(1 << 20):
                entry.write(chunk)
        stream.detach()


@dataclass(frozen=True, slots=True)
class _Summary:
    keys: Sequence[CodeKey]
    users: Sequence[str]
    note: str


@dataclass(frozen=True, slots=True)
class _Source:
    guid: str
    name: str
    text: str
    selections: Sequence[Selection]


def _summarize(records: Iterable[Record]) -> _Summary:
    keys: dict[CodeKey, None] = {}
    users: dict[str, None] = {}
    options: dict[str, None] = {}
    workers: dict[str, None] = {}
    texts = errors = 0
    for record in records:
        if not texts:
            require_codings(record.get("options") or {})
        texts += 1
        errors += bool(record.get("error"))
        options[describe_options(record.get("options") or {})] = None
        for coding in record_codings(record):
            keys[coding.code] = None
            users[coding.user] = None
        for each in provenances(record):
            precise = f"revision {each.get('revision')}, {each.get('precision')}, worker {each.get('worker_version')}"
            workers[f"{model_user(each)}, {precise}"] = None
    if not texts:
        raise UsageError("there are no results", "give a file with at least one")
    lines = [
        f"{texts:,} texts, {errors:,} of them with an error",
        *(f"Options: {each}" for each in options),
        *(f"Model: {each}" for each in workers),
        f"Written by {_ORIGIN}",
        _CAUTION,
    ]
    return _Summary(list(keys), list(users), "\n".join(lines))


def _sources(records: Iterable[Record], read_source: ReadSource, max_texts: int) -> Iterator[_Source]:
    """Yield the sources; records of one source that do not follow each other are several of them."""
    names: dict[str, int] = {}
    for source, group in groupby(records, key=lambda record: str(record.get("source") or "results")):
        is_first = True
        for part, is_last in _divided(group, max_texts):
            original = read_source(source) if is_first and is_last else None
            yield _source(_unique_name(source, names), part, original)
            is_first = False


def _divided(records: Iterator[Record], size: int) -> Iterator[tuple[list[Record], bool]]:
    """Yield the records in lists of at most `size`, and whether each is the last one."""
    part = list(islice(records, size))
    while part:
        following = list(islice(records, size))
        yield part, not following
        part = following


def _unique_name(source: str, names: dict[str, int]) -> str:
    """Return the name of a source: that of its file, with the folders or a number if others have the same name.

    It has no slash, because some programs make a file of this name, and some do not distinguish upper and lower case.
    """
    folders = source.replace("\\", "/").removeprefix("./").strip("/").split("/")
    name = folders[-1] or "source"
    if name.casefold() in names and len(folders) > 1:
        name = " - ".join(folders)
    names[name.casefold()] = count = names.get(name.casefold(), 0) + 1
    return name if count == 1 else _unique_name(f"{name} ({count})", names)


def _source(name: str, records: Sequence[Record], original: str | None) -> _Source:
    kept = [record for record in records if record.get("text")]
    parts = [_part(record) for record in kept]
    placed = original_source(original, parts) if original is not None and parts else None
    text, placements = placed or joined_source(parts)
    selections: dict[tuple[int, int, str], Selection] = {}
    for record, placement in zip(kept, placements, strict=True):
        _select(record, placement, selections)
    return _Source(guid("source", name, text), name, text, list(selections.values()))


def _select(record: Record, placement: Placement, selections: dict[tuple[int, int, str], Selection]) -> None:
    for coding in record_codings(record):
        key = (*placement.span(coding.start, coding.end), coding.user)
        selection = selections.setdefault(key, Selection(*key))
        selection.codes[coding.code] = None
        if coding.note:
            selection.notes[coding.note] = None


def _part(record: Record) -> SourcePart:
    place = record.get("place") or {}
    # Subtitles, and transcripts in JSON, are easier to read without their numbers.
    in_text = place.get("unit") not in {"cue", "segment"}
    return SourcePart(
        text=record["text"],
        speaker=str(record.get("speaker") or ""),
        time=record.get("start"),
        start=place.get("start") if in_text else None,
        end=place.get("end") if in_text else None,
    )


def _add(
    archive: zipfile.ZipFile, name: str, content: bytes, stamp: tuple[int, int, int, int, int, int]
) -> None:
    archive.writestr(_entry(name, stamp), content)


def _entry(name: str, stamp: tuple[int, int, int, int, int, int]) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, stamp)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, on all systems
    entry.external_attr = 0o644 << 16
    return entry
