"""Read the JSON that programs write which turn speech into text: a list of segments, each with a text and its times.

| program | list | text | times | speaker |
| --- | --- | --- | --- | --- |
| Whisper, whisper-ctranslate2, WhisperX, aTrain | `segments` | `text` | `start`, `end`: seconds | `speaker` |
| whisper.cpp | `transcription` | `text` | `offsets`: milliseconds; `timestamps`: `00:00:01,500` | `speaker` |
| Amberscript | `segments` | `words`, each with its `text` | those of the words | `speaker`: a key of `speakers` |

A segment is read like a cue of subtitles. One whose text cannot be used is an error of its own; times that cannot be
used are left out, because the text can still be analyzed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from model_cache.errors import UsageError
from qda_worker.client.readers.document import Document, DocumentBuilder
from qda_worker.client.readers.json_lines import to_seconds
from qda_worker.client.readers.segment import InvalidSegment, Place, PlaceUnit
from qda_worker.client.readers.speakers import parse_seconds, with_labelled_speakers
from qda_worker.client.readers.text_source import NUL_REMEDY
from qda_worker.client.results import ItemError

_SEGMENT_FORMAT: Final = 'give {"start": 0.0, "end": 1.0, "text": "…"} for each segment'
_HALF_CHARACTER_REMEDY: Final = (
    "restore it in the file; whisper.cpp may cut a character in two between segments"
)
# What whisper.cpp writes where it cannot tell the speakers apart.
_UNKNOWN_SPEAKER: Final = "?"

# Segments that are all wrong, at the beginning, from which on a file is refused.
_MOST_WRONG: Final = 1_000
# Characters of a value that are shown in a message.
_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class _Time:
    """A time of a segment.

    Attributes:
        name: what it is, for messages.
        value: what the file has.
        convert: returns its seconds; None if it is no time.
    """

    name: str
    value: object
    convert: Callable[[object], float | None]


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is in a file.

    Attributes:
        document: the speech.
        problems: the segments whose text cannot be used, in order.
    """

    document: Document
    problems: Sequence[InvalidSegment]


class _WrongSegment(Exception):
    """A segment whose text cannot be used."""

    def __init__(self, error: ItemError) -> None:
        super().__init__(error.message)
        self.error = error


def read_speech(fields: Mapping[str, Any], source: str, warn: Callable[[str], None]) -> Transcript | None:
    """Return the segments of a transcript; None if the object is none, or has its text only as a whole.

    Args:
        fields: the object in the file.
        source: the file's name.
        warn: called with a message about times that are left out.

    Raises:
        UsageError: when there is no list, or no segment can be used.
    """
    key = next((key for key in ("segments", "transcription") if fields.get(key) is not None), None)
    if key is None or (fields[key] == [] and fields.get("text")):
        return None
    segments = fields[key]
    if not isinstance(segments, list):
        raise UsageError(f'{source}: "{key}" is no list', f"give a list of segments; {_SEGMENT_FORMAT}")
    names = _speaker_names(fields.get("speakers"))
    times = _TimeReader()
    builder = DocumentBuilder(PlaceUnit.SEGMENT)
    problems = []
    any_right = False
    for number, segment in enumerate(segments, start=1):
        try:
            text = _text(segment, number)
        except _WrongSegment as wrong:
            place = Place(PlaceUnit.SEGMENT, number)
            problems.append(InvalidSegment("", str(number), source, place=place, error=wrong.error))
            if not any_right and number == _MOST_WRONG:
                break
            continue
        any_right = True
        begins, ends = times.read(segment, number)
        builder.add(text, number=number, speaker=_speaker(segment, names), begins=begins, ends=ends)
    if problems and not any_right:
        raise UsageError(f"{source}, {problems[0].error.message}", problems[0].error.remedy)
    times.report(source, warn)
    document = builder.build(spoken=True)
    blocks = [replace(block, index=block.number) for block in document.blocks]
    if not any(block.speaker for block in blocks):
        blocks = with_labelled_speakers(blocks)
    return Transcript(replace(document, blocks=tuple(blocks)), problems)


def _speaker_names(speakers: object) -> dict[str, str]:
    """Return the names of Amberscript's speakers by their keys."""
    listed = speakers if isinstance(speakers, list) else []
    return {
        each["spkid"]: each["name"]
        for each in listed
        if isinstance(each, dict) and isinstance(each.get("spkid"), str) and isinstance(each.get("name"), str)
    }


def _speaker(segment: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    given = segment.get("speaker")
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str):
        return None
    name = names.get(given, given).strip().encode(errors="replace").decode()
    return None if name in {"", _UNKNOWN_SPEAKER} else name


def _text(segment: object, number: int) -> str:
    """Return the text of a segment.

    Raises:
        _WrongSegment: when it has none that can be sent.
    """

    def wrong(found: str, reason: str = "ARGUMENT_INVALID", remedy: str = _SEGMENT_FORMAT) -> _WrongSegment:
        return _WrongSegment(ItemError(reason, f"segment {number}: {found}", remedy))

    if not isinstance(segment, dict):
        raise wrong("found no object")
    if "text" in segment:
        text = segment["text"]
        if text is None:
            raise wrong("the text is missing (null)", "TEXT_EMPTY", "leave the segment out")
    else:
        words = _words(segment)
        if words is None:
            raise wrong('found an object without "text"')
        text = " ".join(word["text"].strip() for word in words)
    if not isinstance(text, str):
        raise wrong('"text" is no string')
    if "\0" in text:
        raise wrong("the text has a NUL character", remedy=NUL_REMEDY)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"the text has half a character, or a byte that is not UTF-8, at position {error.start}"
        raise wrong(found, "TEXT_NOT_UTF8", _HALF_CHARACTER_REMEDY) from error
    return text


def _words(segment: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Return the words of a segment of Amberscript; None if it has none, or one has no text."""
    words = segment.get("words")
    if isinstance(words, list) and all(
        isinstance(word, dict) and isinstance(word.get("text"), str) for word in words
    ):
        return words
    return None


class _TimeReader:
    """Reads the times of segments, and counts those that cannot be used."""

    def __init__(self) -> None:
        self._unusable = 0
        self._first = ""

    def read(self, segment: Mapping[str, Any], number: int) -> tuple[float | None, float | None]:
        """Return when a segment begins and ends, in seconds; None for what the file does not say."""
        begins, ends = (self._seconds(time, number) for time in _times(segment))
        if begins is not None and ends is not None:
            ends = max(begins, ends)
        return begins, ends

    def report(self, source: str, warn: Callable[[str], None]) -> None:
        """Say which times were left out, if any."""
        if self._unusable:
            more = f", and {self._unusable - 1:,} more" if self._unusable > 1 else ""
            warn(f"{source}, {self._first}, which is no time; it is left out{more}")

    def _seconds(self, time: _Time, number: int) -> float | None:
        if time.value is None:
            return None
        seconds = time.convert(time.value)
        if seconds is None or seconds < 0:
            self._unusable += 1
            self._first = self._first or f"segment {number}: {time.name} is {_shown(time.value)}"
            return None
        return seconds


def _times(segment: Mapping[str, Any]) -> tuple[_Time, _Time]:
    """Return the begin and the end of a segment."""
    offsets, marks, words = segment.get("offsets"), segment.get("timestamps"), _words(segment)
    if "start" not in segment and "end" not in segment:
        if isinstance(offsets, dict):
            return (
                _Time("offsets.from", offsets.get("from"), _from_milliseconds),
                _Time("offsets.to", offsets.get("to"), _from_milliseconds),
            )
        if isinstance(marks, dict):
            return (
                _Time("timestamps.from", marks.get("from"), _from_mark),
                _Time("timestamps.to", marks.get("to"), _from_mark),
            )
        if words:
            return (
                _Time("the start of its first word", words[0].get("start"), to_seconds),
                _Time("the end of its last word", words[-1].get("end"), to_seconds),
            )
    return (
        _Time("start", segment.get("start"), to_seconds),
        _Time("end", segment.get("end"), to_seconds),
    )


def _from_milliseconds(value: object) -> float | None:
    milliseconds = to_seconds(value)
    return None if milliseconds is None else milliseconds / 1000


def _from_mark(value: object) -> float | None:
    """Return the seconds of `00:00:01,500`."""
    return parse_seconds(value)[0] if isinstance(value, str) else None


def _shown(value: object) -> str:
    """Return a value in a message."""
    if isinstance(value, str):
        return json.dumps(value[:_SHOWN_CHARACTERS])
    if isinstance(value, bool | int | float):
        return str(value)[:_SHOWN_CHARACTERS]
    return "no number"
