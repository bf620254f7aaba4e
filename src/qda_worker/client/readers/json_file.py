"""Read a JSON file: a transcript of a program, a list of texts, or one text.

A transcript is an object with segments (`speech_json`), or of oTranscribe (`otranscribe`). A list, and a single text,
are read by the rules of JSON Lines (`json_lines`); so is a file with a JSON value on each line.

The file may come from anyone: its size, its number of values and its depth are bounded, and a name that an object has
twice is refused, because programs disagree about which one counts.
"""

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from model_cache.errors import UsageError
from qda_worker.client.readers import encodings
from qda_worker.client.readers.json_lines import read_json_items, read_json_lines
from qda_worker.client.readers.options import Segmentation
from qda_worker.client.readers.otranscribe import is_otranscribe, read_otranscribe
from qda_worker.client.readers.segment import InvalidSegment, Segment
from qda_worker.client.readers.segmentation import divide, divide_sentences
from qda_worker.client.readers.speech_json import read_speech
from qda_worker.client.readers.text_source import ByteSource, TextSource

# Bytes of a file, which is read as a whole. Fifteen hours of speech with all tokens of whisper.cpp have as many.
MAX_JSON_BYTES: Final = 64 * 2**20
JSON_TOO_LONG_REMEDY: Final = (
    "give the texts as JSON Lines (jsonl), one on each line; they are read one by one"
)

# Values in a file: each takes up to a hundred times the memory of its text.
_MAX_VALUES: Final = 5_000_000
_HEAD_BYTES: Final = 512
_EXPECTED: Final = (
    'give a transcript: an object with "segments" (Whisper, WhisperX, aTrain, Amberscript) or "transcription" '
    '(whisper.cpp), or a file of oTranscribe (otr); or a list of texts, or of {"id": "…", "text": "…"}'
)
_TYPE_NAMES: Final = {bool: "true or false", int: "a number", float: "a number", type(None): "null"}
# What a JSON file with texts has near its beginning: a list, or a field that is read.
_SIGNS: Final = re.compile(rb'\s*(?:\[|"|\{(?s:.*?)"(?:segments|transcription|text)"\s*:)')
_SIGN_BYTES: Final = 64 * 1024


class _RepeatedName(ValueError):
    """A name that an object has twice."""


def may_have_texts(path: Path) -> bool:
    """Return whether a JSON file in a folder begins like one with texts; other programs keep settings in such files."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_SIGN_BYTES)
    except OSError:
        return True  # the error is reported when the file is read
    encoding, length = encodings.split_mark(head)
    if encoding not in {"", encodings.UTF8}:
        head = head[length:].decode(encoding, errors="ignore").encode()
        length = 0
    return _SIGNS.match(head, length) is not None


def read_json(
    content: bytes,
    source: str,
    *,
    encoding: str = "",
    segment: Segmentation | None = None,
    warn: Callable[[str], None],
) -> Iterator[Segment]:
    """Yield the segments of a file.

    Args:
        content: all bytes of the file.
        source: its name.
        encoding: what the user says; empty: nothing.
        segment: what is one text in a transcript; lists have a text in each item.
        warn: called with a message about what is left out.

    Raises:
        UsageError: when it is no JSON, or nothing that is known.
    """
    text, is_damaged = _decode(content, encoding, source)
    if not text.strip():
        return
    try:
        value = _parse(text, source)
    except json.JSONDecodeError as error:
        if not _begins_with_values(text, error):
            raise UsageError(f"{source} is no JSON: {error}", _EXPECTED) from error
        lines = TextSource(ByteSource(BytesIO(content), source), encoding).lines(each_alone=True)
        yield from _rows(read_json_lines(lines, source), source, segment)
        return
    del text
    if is_damaged and not (isinstance(value, dict) and "transcription" in value):
        raise UsageError(f"{source} is not UTF-8", encodings.not_utf8_remedy(content))
    yield from _segments(value, source, segment, warn)


def _segments(
    value: object, source: str, segment: Segmentation | None, warn: Callable[[str], None]
) -> Iterator[Segment]:
    alone = None if segment is Segmentation.FILE else segment  # one text is the whole file already
    if isinstance(value, list):
        yield from _rows(read_json_items(value, source), source, segment)
        return
    if isinstance(value, str):
        yield from _rows(read_json_items([value], source), source, alone)
        return
    if not isinstance(value, dict):
        raise UsageError(f"{source}: found {_TYPE_NAMES[type(value)]}, no texts", _EXPECTED)
    transcript = read_speech(value, source, warn)
    if transcript is not None:
        yield from _in_order(divide(transcript.document, segment, source), transcript.problems)
    elif is_otranscribe(value, named_so=source.lower().endswith(".otr")):
        yield from divide(read_otranscribe(value["text"], source), segment, source)
    elif "text" in value:
        yield from _rows(read_json_items([value], source), source, alone)
    else:
        raise UsageError(f"{source}: found an object without texts{_names(value)}", _EXPECTED)


def _decode(content: bytes, encoding: str, source: str) -> tuple[str, bool]:
    """Return the text of a file, and whether most of its letters are not UTF-8.

    Single bytes that are not UTF-8 are kept as surrogates: they spoil one segment only.

    Raises:
        UsageError: when it is in another encoding.
    """
    _, length = encodings.split_mark(content)
    chosen = encodings.choose_encoding(content[:_HEAD_BYTES], encoding, source)
    body = content[length:]
    if chosen != encodings.UTF8:
        return "".join(encodings.decode_chunks([body], chosen, source)), False
    try:
        return body.decode(errors="surrogatepass"), False
    except UnicodeDecodeError:
        return body.decode(errors="surrogateescape"), not encodings.is_damaged_utf8(body)


def _parse(text: str, source: str) -> Any:  # Any: JSON has no types
    """Return the value of a JSON text. Line ends in strings, which whisper.cpp does not escape, are accepted.

    Raises:
        json.JSONDecodeError: when it is no JSON.
        UsageError: when it is refused.
    """
    if text.count(",") + text.count("[") + text.count("{") > _MAX_VALUES:
        raise UsageError(f"{source} has more than {_MAX_VALUES:,} values", JSON_TOO_LONG_REMEDY)
    try:
        return json.loads(text, strict=False, object_pairs_hook=_unique)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise UsageError(f"{source} is no transcript: its values are nested too deeply", _EXPECTED) from error
    except _RepeatedName as error:
        raise UsageError(f"{source}: {error}", "remove one of them") from error
    except ValueError as error:  # a number of thousands of digits
        raise UsageError(f"{source} is no JSON: {error}", _EXPECTED) from error


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise _RepeatedName(f"an object has the name {json.dumps(twice[:40])} twice")
    return fields


def _begins_with_values(text: str, error: json.JSONDecodeError) -> bool:
    """Return whether what is wrong is a second value that begins on a line of its own, as in JSON Lines."""
    return error.msg == "Extra data" and text[: error.pos].rstrip(" \t\r").endswith("\n")


def _rows(rows: Iterator[Segment], source: str, segment: Segmentation | None) -> Iterator[Segment]:
    """Yield the texts of a list, or their sentences.

    Raises:
        UsageError: when one text is wanted.
    """
    if segment is Segmentation.FILE:
        raise UsageError(f"{source} is a list of texts, not one text", "leave --segment file and --whole out")
    for row in rows:
        if segment is Segmentation.SENTENCE and not isinstance(row, InvalidSegment):
            yield from divide_sentences(row)
        else:
            yield row


def _in_order(segments: Iterator[Segment], problems: Sequence[InvalidSegment]) -> Iterator[Segment]:
    """Yield the segments of a transcript, and those that cannot be used, as they are numbered in the file."""
    waiting = deque(problems)
    for segment in segments:
        while waiting and _number(waiting[0]) < _number(segment):
            yield waiting.popleft()
        yield segment
    yield from waiting


def _number(segment: Segment) -> int:
    return segment.place.number if segment.place is not None else 0


def _names(value: dict[str, Any]) -> str:
    """Return the first names of an object in a message."""
    names = ", ".join(json.dumps(name[:40]) for name in list(value)[:5])
    return f"; it has {names}" if names else ""
