"""A file as text that is written back byte for byte: decoded, with its line ends, its markup and its byte order mark.

What is replaced are parts of the text. In JSON Lines they are the strings, of which each character may be an escape; in
other files they are the whole text. A document (docx, odt, rtf, pdf) has no text of its own that could be changed; its
extracted text is used, with LF as line end, and written as a new text file. Of a transcript these are its turns; a
transcript in JSON is one of these, because it has each name in pieces, too: in its words, and in its tokens.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from qda_worker.client.pseudonyms.forms import Markup
from qda_worker.client.readers import encodings
from qda_worker.client.readers.corpus import read_corpus
from qda_worker.client.readers.file_types import Reader, recognize
from qda_worker.client.readers.options import InputFormat, ReadingOptions, Segmentation
from qda_worker.client.readers.segment import InvalidSegment
from qda_worker.client.readers.whole_text import whole_text

# Bytes of a file, which is held in memory several times.
_MAX_BYTES: Final = 256 * 2**20

_JSON_STRING: Final = re.compile(r'"(?:[^"\\\r\n]|\\.)*"')
_JSON_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\."
)
_JSON_COLON: Final = re.compile(r"\s*:")


class Layout(Enum):
    """What the text of a file consists of."""

    TEXT = "text"
    TABLE = "table"
    JSON = "json"
    SUBTITLES = "subtitles"


_LAYOUTS: Final = {
    ".csv": Layout.TABLE, ".tsv": Layout.TABLE, ".tab": Layout.TABLE, ".jsonl": Layout.JSON, ".ndjson": Layout.JSON,
    ".srt": Layout.SUBTITLES, ".vtt": Layout.SUBTITLES,
}  # fmt: skip
_EXTRACTED_ENDINGS: Final = frozenset({".json", ".otr"})
_MARKUPS: Final = {Layout.TABLE: Markup.TABLE, Layout.SUBTITLES: Markup.ENTITIES}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text in which forms are looked for.

    Attributes:
        text: what it says.
        start: where it begins in the text of the file.
        positions: for each character, and the end, where it is written in the file's text; None: one after the other.
    """

    text: str
    start: int
    positions: tuple[int, ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where the characters from `start` to `end` are in the text of the file."""
        if self.positions is None:
            return self.start + start, self.start + end
        return self.positions[start], self.positions[end]


@dataclass(frozen=True, slots=True)
class TextFile:
    """The text of a file.

    Attributes:
        text: all of it, with its own line ends.
        encoding: Python's name of its encoding.
        mark: its byte order mark.
        layout: what it consists of.
        is_extracted: whether it was extracted from a document.
    """

    text: str
    encoding: str = encodings.UTF8
    mark: bytes = b""
    layout: Layout = Layout.TEXT
    is_extracted: bool = False

    @property
    def markup(self) -> Markup:
        """How characters of forms may be written in it."""
        return _MARKUPS.get(self.layout, Markup.NONE)

    def parts(self) -> Iterator[Part]:
        """Yield the parts in which forms are looked for, in order."""
        if self.layout is Layout.JSON:
            yield from _json_parts(self.text)
        else:
            yield Part(self.text, 0)

    def encode(self, text: str) -> bytes:
        """Return the bytes of another text in the encoding of this file.

        Raises:
            UnicodeEncodeError: when a character is not in the encoding.
        """
        return self.mark + text.encode(self.encoding, errors=_errors(self.encoding))


def read_text_file(path: Path, encoding: str, kind: InputFormat = InputFormat.AUTO) -> TextFile:
    """Read a file.

    Args:
        path: the file.
        encoding: what the user says; empty: nothing.
        kind: its format, as the user says.

    Raises:
        UsageError: when it cannot be read, or not be written back.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path} has more than {_MAX_BYTES // 2**20} MiB", "split it")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "give a readable file") from error
    _, length = encodings.split_mark(content)
    file_type = recognize(content[length : length + 4096], [content[length + 4096 :]])
    if file_type is not None:
        if file_type.reader is None or file_type.reader is Reader.WORKBOOK:
            remedy = (
                file_type.remedy if file_type.reader is None else "save it as CSV UTF-8 and give that file"
            )
            raise UsageError(f"{path} is {file_type.name}, whose text cannot be replaced", remedy)
        read = _turns if file_type.reader is Reader.HTML else whole_text
        return TextFile(read(str(path), encoding), is_extracted=True)
    if kind is InputFormat.JSON or (kind is InputFormat.AUTO and path.suffix.lower() in _EXTRACTED_ENDINGS):
        return TextFile(_turns(str(path), encoding, kind), is_extracted=True)
    layout = {
        InputFormat.CSV: Layout.TABLE,
        InputFormat.JSONL: Layout.JSON,
        InputFormat.LINES: Layout.TEXT,
    }.get(kind, _LAYOUTS.get(path.suffix.lower(), Layout.TEXT))
    return _decode(content, encoding, str(path), layout)


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return sha256(content).hexdigest()


def _turns(path: str, encoding: str, kind: InputFormat = InputFormat.AUTO) -> str:
    """Return the text of a transcript that is a document: a line for each turn, with its speaker as in plain text."""
    lines: list[str] = []
    for each in read_corpus([path], ReadingOptions(kind, Segmentation.TURN, encoding)):
        if isinstance(each, InvalidSegment):
            raise UsageError(f"{path}: {each.error.message}", each.error.remedy)
        lines.append(f"{each.speaker}: {each.text}" if each.speaker else each.text)
    return "\n".join(lines)


def _decode(content: bytes, encoding: str, name: str, layout: Layout) -> TextFile:
    _, length = encodings.split_mark(content)
    chosen = encodings.choose_encoding(content, encoding, name)
    body = content[length:]
    if layout is Layout.TABLE and chosen == encodings.UTF8 and not encoding and not length:
        chosen = _table_encoding(body)
    try:
        text = body.decode(chosen, errors=_errors(chosen))
    except UnicodeDecodeError as error:
        remedy = (
            encodings.not_utf8_remedy(body[error.start : error.start + 64])
            if chosen == encodings.UTF8
            else "give the right encoding (--encoding NAME)"
        )
        raise UsageError(
            f"{name} is not {chosen.upper()}: byte {length + error.start} is 0x{body[error.start]:02x}",
            remedy,
        ) from error
    file = TextFile(text, chosen, content[:length], layout)
    if file.encode(text) != content:
        raise UsageError(
            f"{name} cannot be written back in {chosen.upper()} byte for byte", "convert it to UTF-8"
        )
    return file


def _table_encoding(body: bytes) -> str:
    """Return the encoding of a table: Windows-1252, in which Excel saves CSV, if it is not UTF-8."""
    try:
        body.decode(encodings.UTF8, errors="surrogatepass")
    except UnicodeDecodeError:
        return encodings.UTF8 if encodings.is_damaged_utf8(body) else "cp1252"
    return encodings.UTF8


def _errors(encoding: str) -> str:
    return "surrogatepass" if encoding.startswith("utf-") else "strict"


def _json_parts(text: str) -> Iterator[Part]:
    """Yield the strings of JSON documents that are values, not names."""
    for match in _JSON_STRING.finditer(text):
        if _JSON_COLON.match(text, match.end()):
            continue
        written = match[0][1:-1]
        start = match.start() + 1
        if "\\" not in written:
            yield Part(written, start)
            continue
        characters: list[str] = []
        positions: list[int] = []
        done = 0
        for escape in _JSON_ESCAPE.finditer(written):
            plain = written[done : escape.start()]
            characters.append(plain)
            positions.extend(range(start + done, start + escape.start()))
            characters.append(_json_character(escape[0]))
            positions.append(start + escape.start())
            done = escape.end()
        characters.append(written[done:])
        positions.extend(range(start + done, start + len(written) + 1))
        yield Part("".join(characters), start, tuple(positions))


def _json_character(escape: str) -> str:
    """Return the character of an escape; of a wrong one, a character that no form has."""
    try:
        value = json.loads(f'"{escape}"')
    except ValueError:
        return "\ufffd"
    return value if isinstance(value, str) and len(value) == 1 else "\ufffd"
