"""Read subtitles: SRT and WebVTT, with the voices `<v Name>` of WebVTT and labels such as `ANNA:`.

What is between two blank lines is a cue if it has a line with two times; comments, styles and regions of WebVTT are
none. Cues without a blank line between them, without a number, or with a damaged number are read as well.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from qda_worker.client.readers.document import Block, Document
from qda_worker.client.readers.segment import PlaceUnit
from qda_worker.client.readers.speakers import with_labelled_speakers

_TIME: Final = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,6}))?"
_TIMING: Final = re.compile(rf"[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t][^\n]*)?\Z")
_VOICE: Final = re.compile(r"<v(?:\.[^\s>]{1,80})?[ \t]+([^>\n]{1,200})>", re.IGNORECASE)
_TAG: Final = re.compile(r"</?(?:[a-zA-Z][^<>\n]{0,200})?>|<\d{1,3}:[\d:.]{1,20}>|\{\\[^{}\n]{1,80}\}")
# What a program that reads the first bytes sees.
_HEAD: Final = re.compile(
    r"\ufeff?\s*(?:WEBVTT(?:[ \t\n]|\Z)|(?:\d{1,6}[ \t]*\n)?[ \t]*\d{1,3}:\d{2}:\d{2}[.,]\d{1,6}[ \t]*-->)"
)


def are_subtitles(head: str) -> bool:
    """Return whether a text begins like subtitles."""
    return _HEAD.match(head.replace("\r\n", "\n").replace("\r", "\n")) is not None


def read_subtitles(text: str) -> Document:
    """Return the cues of a text with LF as line end. A cue without speech is left out."""
    blocks = [block for cue in _cues(text) for block in _voices(cue)]
    blocks = [replace(block, index=number) for number, block in enumerate(blocks, start=1)]
    if not any(block.speaker for block in blocks):
        blocks = with_labelled_speakers(blocks)
    return Document(text, tuple(blocks), PlaceUnit.CUE, spoken=True)


def _cues(text: str) -> Iterator[Block]:
    """Yield the cues with their markup."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    timings = [
        (at, match) for at, line in enumerate(lines) if "-->" in line and (match := _TIMING.match(line))
    ]
    for number, (at, match) in enumerate(timings, start=1):
        limit = timings[number][0] if number < len(timings) else len(lines)
        end = at + 1
        while end < limit and lines[end].strip():
            end += 1
        if number < len(timings) and end == limit and end > at + 1 and lines[end - 1].strip().isdecimal():
            end -= 1  # the number of the next cue, without a blank line before it
        content = "\n".join(lines[at + 1 : end])
        begins, ends = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        yield Block(
            content, number, starts[at + 1] if end > at + 1 else starts[at], max(starts[end] - 1, starts[at]), number,
            begins=begins, ends=max(begins, ends),
        )  # fmt: skip


def _voices(cue: Block) -> Iterator[Block]:
    """Yield the speech of a cue, once for each voice in it."""
    marks = list(_VOICE.finditer(cue.text))
    pieces: list[tuple[str | None, str]] = [(None, cue.text[: marks[0].start() if marks else None])]
    for at, mark in enumerate(marks):
        end = marks[at + 1].start() if at + 1 < len(marks) else len(cue.text)
        pieces.append((html.unescape(mark[1]).strip() or None, cue.text[mark.end() : end]))
    for speaker, content in pieces:
        lines = html.unescape(_TAG.sub("", content)).split("\n")
        speech = " ".join(line.strip() for line in lines if line.strip())
        if speech:
            yield replace(cue, text=speech, speaker=speaker)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + (int(fraction) / 10 ** len(fraction) if fraction else 0)
