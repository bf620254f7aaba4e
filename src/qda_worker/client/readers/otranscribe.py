"""Read the transcripts of oTranscribe (.otr): JSON whose field `text` is the HTML of its editor.

Times are `<span class="timestamp" data-timestamp="SECONDS">`; old versions wrote `MINUTES:SECONDS` there. The text is
what people typed, so speakers and turns are found in it as in other documents. Each time becomes a mark in brackets,
`[0:01:23.4]`, which stays in the text where it stands within a turn.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

from model_cache.errors import UsageError
from qda_worker.client.readers.document import Document, DocumentBuilder, bold_length
from qda_worker.client.readers.html_tokens import Tag, html_tokens
from qda_worker.client.readers.text_source import NUL_REMEDY

_CLOCK: Final = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:\.\d{1,9})?)\Z")
_SECONDS: Final = re.compile(r"\d{1,9}(?:\.\d{1,20})?\Z")
_SPACES: Final = re.compile(r"[ \r\n\u00a0]+")
_SIGNS: Final = re.compile(r"<span\s[^<>]{0,200}data-timestamp=", re.IGNORECASE)
# Elements that begin a paragraph.
_PARAGRAPHS: Final = frozenset({"p", "div", "li", "br", "h1", "h2", "h3", "blockquote"})
_BOLD: Final = frozenset({"b", "strong"})
# Seconds from which on a mark would have more than three digits of hours.
_MOST_SECONDS: Final = 1_000 * 3_600


def is_otranscribe(fields: Mapping[str, Any], *, named_so: bool) -> bool:
    """Return whether an object is a transcript of oTranscribe.

    Args:
        fields: the object in the file.
        named_so: whether the name of the file ends `.otr`.
    """
    text = fields.get("text")
    if not isinstance(text, str):
        return False
    return named_so or "media-time" in fields or _SIGNS.search(text) is not None


def read_otranscribe(html: str, source: str) -> Document:
    """Return the paragraphs of a transcript.

    Args:
        html: the text in the file.
        source: the file's name.

    Raises:
        UsageError: when it has NUL characters.
    """
    if "\0" in html:
        raise UsageError(f"{source} has a NUL character", NUL_REMEDY)
    page = _Page()
    for token in html_tokens(html):
        page.add(token)
    page.end_paragraph()
    return page.builder.build()


class _Span(Enum):
    """A span of the editor."""

    REPLACED = "replaced"  # a time, for which a mark stands
    SHOWN = "shown"  # a time whose value is none; what the editor shows is read
    OTHER = "other"


class _Page:
    """Collects the paragraphs of a page."""

    def __init__(self) -> None:
        self.builder = DocumentBuilder()
        # Each text with whether it is bold; a time is as bold as what follows (None).
        self._parts: list[tuple[str, bool | None]] = []
        self._bold = 0
        self._spans: list[_Span] = []  # that are open
        self._left_out = 0  # how many of them show a time that a mark replaces

    def add(self, token: Tag | str) -> None:
        """Add the next tag or text."""
        if isinstance(token, str):
            if not self._left_out:
                self._parts.append((token, self._bold > 0))
        elif token.name in _PARAGRAPHS:
            self.end_paragraph()
        elif token.name in _BOLD:
            self._bold = max(0, self._bold + (-1 if token.is_end else 1))
        elif token.name == "span" and token.is_end:
            self._end_span()
        elif token.name == "span":
            self._begin_span(token.attributes())

    def _begin_span(self, attributes: Mapping[str, str]) -> None:
        span = _Span.OTHER
        if "timestamp" in attributes.get("class", "").split():
            mark = _mark(attributes.get("data-timestamp", ""))
            span = _Span.REPLACED if mark else _Span.SHOWN
            self._parts.append((f" {mark} ", None))
        self._spans.append(span)
        self._left_out += span is _Span.REPLACED

    def _end_span(self) -> None:
        span = self._spans.pop() if self._spans else _Span.OTHER
        self._left_out -= span is _Span.REPLACED
        if span is _Span.SHOWN:
            self._parts.append((" ", None))

    def end_paragraph(self) -> None:
        """End the paragraph; a blank one is left out."""
        parts: list[tuple[str, bool]] = []
        bold = False
        for text, is_bold in reversed(self._parts):
            bold = bold if is_bold is None else is_bold
            parts.append((text, bold))
        parts = _without_double_spaces(reversed(parts))
        self.builder.add("".join(text for text, _ in parts), bold=bold_length(parts))
        self._parts.clear()
        # A span that is not closed must not hide the paragraphs behind it.
        self._spans.clear()
        self._left_out = 0


def _without_double_spaces(parts: Iterable[tuple[str, bool]]) -> list[tuple[str, bool]]:
    kept: list[tuple[str, bool]] = []
    ends_blank = True
    for text, bold in parts:
        single = _SPACES.sub(" ", text)
        if ends_blank:
            single = single.removeprefix(" ")
        if single:
            ends_blank = single.endswith(" ")
            kept.append((single, bold))
    return kept


def _mark(value: str) -> str:
    """Return the mark of a time; empty if it is none."""
    clock = _CLOCK.match(value.strip())
    if clock:
        seconds = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    elif _SECONDS.match(value.strip()):
        seconds = float(value)
    else:
        return ""
    if seconds >= _MOST_SECONDS:
        return ""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    fraction = f"{milliseconds % 1000:03d}".rstrip("0")
    point = "." if fraction else ""
    return f"[{minutes // 60}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{fraction}]"
