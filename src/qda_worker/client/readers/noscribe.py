"""Read the transcripts that noScribe writes and its editor saves (HTML).

Each piece of speech is an anchor `<a name="ts_START_END_SPEAKER">` with times in milliseconds; a paragraph is a turn,
whose label is the text before the first colon. The title and the note on the program have no anchor and are left out,
as are visible times, which the anchors say more exactly.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from qda_worker.client.readers.document import Document, DocumentBuilder
from qda_worker.client.readers.html_tokens import Tag, html_tokens

_ANCHOR: Final = re.compile(r"ts_(\d{1,12})_(\d{1,12})(?:_(.*))?\Z", re.DOTALL)
_MARKS: Final = re.compile(
    rb"<a\s[^<>]{0,40}name=[\"']ts_\d+_\d+|qrichtext|noScribe|name=\"audio_source\"", re.IGNORECASE
)
_VISIBLE_TIME: Final = re.compile(r"\s?\[\d{1,3}:\d{2}(?::\d{2})?(?:\.\d{1,3})?\]")
_LABEL: Final = re.compile(r"\s*([^:\n]{1,60}?)\s*:(?=\s|\Z)")
_SPACES: Final = re.compile(r"[ \t\r\n\u00a0]+")


def is_noscribe(head: bytes) -> bool:
    """Return whether an HTML file may be a transcript of noScribe: its head, or its first paragraphs, say so."""
    return _MARKS.search(head) is not None


@dataclass(slots=True)
class _Paragraph:
    """A paragraph that is being read: its texts, its times, and the speaker that its anchors name."""

    parts: list[str] = field(default_factory=list)
    begins: float | None = None
    ends: float | None = None
    code: str = ""


def read_noscribe(text: str) -> Document | None:
    """Return the turns of a transcript; None if the page has no anchors with times."""
    page = _Page()
    for token in html_tokens(text):
        page.add(token)
    page.end_paragraph()
    if not page.turns:
        return None
    builder = DocumentBuilder()
    speaker: str | None = None
    code = ""
    for turn in page.turns:
        content = _SPACES.sub(" ", _VISIBLE_TIME.sub("", "".join(turn.parts)).strip())
        label = _LABEL.match(content)
        if label and turn.code:
            speaker, content = label[1], content[label.end() :].strip()
        elif turn.code != code:
            speaker = turn.code or None
        code = turn.code
        builder.add(content, speaker=speaker if turn.code else None, begins=turn.begins, ends=turn.ends)
    return builder.build(spoken=True)


class _Page:
    """Collects the paragraphs with anchors."""

    def __init__(self) -> None:
        self.turns: list[_Paragraph] = []
        self._paragraph = _Paragraph()

    def add(self, token: Tag | str) -> None:
        """Add the next tag or text."""
        if isinstance(token, str):
            self._paragraph.parts.append(token)
        elif token.name in {"p", "div", "li"}:
            self.end_paragraph()
        elif token.name == "br":
            self._paragraph.parts.append(" ")
        elif token.name == "a" and not token.is_end:
            anchor = _ANCHOR.match(token.attributes().get("name", ""))
            if anchor:
                paragraph = self._paragraph
                if paragraph.begins is None:
                    paragraph.begins = int(anchor[1]) / 1000
                paragraph.ends = int(anchor[2]) / 1000
                paragraph.code = paragraph.code or (anchor[3] or "").strip()

    def end_paragraph(self) -> None:
        """End the paragraph; keep it if it has a time."""
        if self._paragraph.begins is not None:
            self.turns.append(self._paragraph)
        self._paragraph = _Paragraph()
