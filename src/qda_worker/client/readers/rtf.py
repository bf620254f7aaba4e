"""Read the text of a Rich Text document (RTF), as Word, LibreOffice, f4 and MAXQDA write it.

An own reader, because the package striprtf leaves deleted and hidden text in, halves emoji, and knows nothing of bold
letters, which often are the label of a speaker. It reads the tokens of the format once: groups, control words, bytes in
the code page of the font, UTF-16 units. Groups that hold no text of the document (fonts, pictures, headers, comments)
are skipped. A table row is one paragraph with tabs between its cells; footnotes come last.
"""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from model_cache.errors import UsageError
from qda_worker.client.readers.document import Document, DocumentBuilder, bold_length, join_cells, trimmed

_TOKEN: Final = re.compile(
    rb"\\([A-Za-z]{1,32})(-?\d{1,10})? ?|\\'([0-9A-Fa-f]{2})|\\([^A-Za-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)",
    re.DOTALL,
)
# Groups without text of the document. Unknown ones are marked by \* in the file.
_SKIPPED: Final = frozenset(
    b"""fonttbl colortbl stylesheet info pict header headerl headerr headerf footer footerl footerr footerf object
    listtable listoverridetable revtbl rsidtbl generator themedata colorschememapping datastore latentstyles xmlnstbl
    fldinst annotation atnid atnauthor atntime atnref atrfstart atrfend bkmkstart bkmkend nonshppict pntext filetbl
    template operator ftnsep ftnsepc aftnsep aftnsepc xe tc txe rxe nonesttables""".split()
)
# Groups that are marked by \* and hold text all the same.
_KEPT: Final = frozenset(
    {b"footnote", b"shptxt", b"shpinst", b"nesttableprops", b"fldrslt", b"ud", b"shppict"}
)
_CHARACTERS: Final = {
    b"tab": "\t", b"line": "\n", b"cell": "\t", b"nestcell": "\t", b"emdash": "—", b"endash": "–", b"bullet": "•",
    b"lquote": "‘", b"rquote": "’", b"ldblquote": "“", b"rdblquote": "”", b"emspace": "\u2003", b"enspace": "\u2002",
}  # fmt: skip
_SYMBOLS: Final = {b"~": "\u00a0", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}"}
_PARAGRAPH_ENDS: Final = frozenset({b"par", b"row", b"nestrow", b"sect", b"page"})
_TABLE_WORDS: Final = frozenset({b"trowd", b"cell", b"row"})
_PARAGRAPH_SIGNS: Final = frozenset({b"\n", b"\r"})
_CHARSETS: Final = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 134: "cp936", 136: "cp950", 161: "cp1253", 162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
    254: "cp437", 255: "cp850",
}  # fmt: skip
_FONT: Final = re.compile(rb"\\f(\d{1,5})[^;{}]{0,200}?\\fcharset(\d{1,3})")
_FONT_TABLE: Final = re.compile(rb"\{\s*\\fonttbl")
# Bytes of the font table that are searched for character sets.
_FONT_TABLE_BYTES: Final = 256 * 1024
_MAX_DEPTH: Final = 10_000


@dataclass(frozen=True, slots=True)
class _State:
    """What a group sets and its end restores."""

    skipped: bool = False
    hidden: bool = False
    bold: bool = False
    note: bool = False
    font: int = -1
    fallback: int = 1  # characters behind a \u for programs that do not know it


def read_rtf(content: bytes, source: str, warn: Callable[[str], None]) -> Document:
    """Return the text of a document.

    Args:
        content: the file.
        source: its name, for messages.
        warn: called with a message if the end of the document is missing.

    Raises:
        UsageError: when its groups are damaged.
    """
    reader = _Reader(content)
    try:
        document = reader.read()
    except _Damaged as error:
        raise UsageError(
            f"{source} is damaged ({error})", "open it with Word or LibreOffice and save it again"
        ) from error
    if reader.is_cut_off:
        warn(f"{source} ends before its text does: it was cut off, and only what is there is read")
    return document


class _Damaged(ValueError):
    """The groups do not match."""


class _Reader:
    """Reads one document.

    Attributes:
        is_cut_off: whether the file that was read ends within a group.
    """

    def __init__(self, content: bytes) -> None:
        self.is_cut_off = False
        self._content = content
        self._state = _State()
        self._stack: list[_State] = []
        self._code_page = "cp1252"
        self._fonts = _font_encodings(content)
        self._pending = b""  # bytes of a code page that are decoded together
        self._surrogate = 0
        self._to_skip = 0
        self._starred = False
        self._parts: list[tuple[str, bool]] = []
        # The paragraphs of a table row's cells, and of its cell at hand, each with the length of its bold beginning.
        self._cells: list[list[tuple[str, int]]] | None = None
        self._cell: list[tuple[str, int]] = []
        self._note_parts: list[str] = []
        self._notes: list[str] = []
        self._builder = DocumentBuilder()

    def read(self) -> Document:
        position = 0
        while token := _TOKEN.match(self._content, position):
            position = token.end()
            word, number, code, sign, brace, text = token.groups()
            if code is None and not (text is not None and self._to_skip):
                self._flush()
            if word is not None:
                position = self._read_word(word, int(number) if number else None, position)
            elif code is not None:
                self._read_bytes(bytes([int(code, 16)]))
            elif sign is not None:
                self._read_sign(sign)
            elif brace is not None:
                if not self._read_brace(brace):
                    break
            elif text is not None:
                self._read_text(text)
        self.is_cut_off = bool(self._stack)
        self._flush()
        self._end_row()
        for note in self._notes:
            self._builder.add(note, is_note=True)
        return self._builder.build()

    def _read_brace(self, brace: bytes) -> bool:
        """Begin or end a group; return whether the document goes on."""
        self._to_skip = 0
        self._starred = False
        if brace == b"{":
            if len(self._stack) >= _MAX_DEPTH:
                raise _Damaged(f"groups are nested more than {_MAX_DEPTH:,} times")
            self._stack.append(self._state)
            return True
        if not self._stack:
            raise _Damaged("a group ends that has not begun")
        was_note = self._state.note
        self._state = self._stack.pop()
        if was_note and not self._state.note:
            self._notes.append("".join(self._note_parts))
            self._note_parts.clear()
        return bool(self._stack)

    def _read_word(self, word: bytes, number: int | None, position: int) -> int:
        """Apply a control word; return where to go on."""
        starred, self._starred = self._starred, False
        if word == b"bin":
            return position + max(0, number or 0)
        if word in _SKIPPED or (starred and word not in _KEPT):
            self._state = replace(self._state, skipped=True)
        elif word == b"u" and number is not None:
            self._read_unit(number & 0xFFFF)
        elif word in _TABLE_WORDS and self._read_table_word(word):
            pass
        elif word in _PARAGRAPH_ENDS:
            self._end_paragraph()
        elif word in _CHARACTERS:
            self._add(_CHARACTERS[word])
        else:
            self._set(word, number)
        return position

    def _read_table_word(self, word: bytes) -> bool:
        """Apply the begin of a row, or the end of a cell or row; return False if that is read as text.

        Some writers end each paragraph of a cell as they do outside of tables.
        """
        if self._state.skipped or self._state.note:
            return False
        if word == b"trowd":
            if self._cells is None and not any(text.strip() for text, _ in self._parts):
                self._cells = []
            return True
        if self._cells is None:
            return False
        if word == b"row":
            self._end_row()
            return True
        self._end_paragraph()
        self._cells.append(self._cell)
        self._cell = []
        return True

    def _end_row(self) -> None:
        """End a paragraph, and the row that it is in."""
        self._end_paragraph()
        if self._cells is not None:
            cells, self._cells, self._cell = [*self._cells, self._cell], None, []
            for text, bold in join_cells(cells):
                self._builder.add(text, bold=bold)

    def _set(self, word: bytes, number: int | None) -> None:
        """Apply a control word that changes how the text is read."""
        state = self._state
        on = number != 0
        if word in {b"v", b"deleted"}:
            self._state = replace(state, hidden=on)
        elif word == b"b":
            self._state = replace(state, bold=on)
        elif word == b"plain":
            self._state = replace(state, bold=False, hidden=False)
        elif word == b"footnote":
            self._state = replace(state, note=True)
        elif word == b"f" and number is not None:
            self._state = replace(state, font=number)
        elif word == b"uc" and number is not None:
            self._state = replace(state, fallback=max(0, number))
        elif word == b"ansicpg" and number is not None:
            self._code_page = _known_encoding(f"cp{number}") or self._code_page
        elif word == b"mac":
            self._code_page = "mac_roman"

    def _read_sign(self, sign: bytes) -> None:
        if sign == b"*":
            self._starred = True
        elif sign in _PARAGRAPH_SIGNS:
            self._end_paragraph()
        elif sign in _SYMBOLS:
            self._add(_SYMBOLS[sign])

    def _read_text(self, text: bytes) -> None:
        if self._to_skip:
            skipped = min(self._to_skip, len(text))
            self._to_skip -= skipped
            text = text[skipped:]
        self._read_bytes(text)
        self._flush()

    def _read_bytes(self, content: bytes) -> None:
        if self._to_skip:
            self._to_skip -= 1
            return
        self._pending += content

    def _read_unit(self, unit: int) -> None:
        """Add a UTF-16 unit; characters outside the basic plane have two."""
        self._to_skip = self._state.fallback
        if 0xD800 <= unit < 0xDC00:
            self._surrogate = unit
            return
        if 0xDC00 <= unit < 0xE000 and self._surrogate:
            unit = 0x10000 + ((self._surrogate - 0xD800) << 10) + unit - 0xDC00
        self._surrogate = 0
        self._add("\ufffd" if 0xD800 <= unit < 0xE000 else chr(unit))

    def _flush(self) -> None:
        """Decode the bytes that came one after the other: a character may have two."""
        if self._pending:
            encoding = self._fonts.get(self._state.font, self._code_page)
            text = self._pending.decode(encoding, errors="replace")
            self._pending = b""
            self._add(text)

    def _add(self, text: str) -> None:
        state = self._state
        if state.skipped or state.hidden:
            return
        if state.note:
            self._note_parts.append(text)
        else:
            self._parts.append((text, state.bold))

    def _end_paragraph(self) -> None:
        state = self._state
        if state.skipped:
            return
        if state.note:
            self._note_parts.append("\n")
            return
        bold = bold_length(self._parts)
        text = "".join(text for text, _ in self._parts)
        self._parts.clear()
        if self._cells is None:
            self._builder.add(text, bold=bold)
        elif text.strip():
            self._cell.append(trimmed(text, bold))


def _font_encodings(content: bytes) -> dict[int, str]:
    """Return the encodings of the fonts that have one."""
    table = _FONT_TABLE.search(content)
    if table is None:
        return {}
    start = table.start()
    fonts = _FONT.findall(content[start : start + _FONT_TABLE_BYTES])
    known = ((int(font), _CHARSETS.get(int(charset), "")) for font, charset in fonts)
    # The common character set is that of the document, whose code page may be another one.
    return {font: encoding for font, encoding in known if encoding and encoding != "cp1252"}


def _known_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        return ""
