"""Read the texts of a file or of stdin one by one, so that an input of any length can be streamed.

The first bytes decide: a document that is no plain text is refused with what to do (`file_types`), a byte order mark or
`--encoding` says the encoding (`encodings`). Lines end by LF, CRLF or CR. A whole file is one text with LF as line end,
as Python's text mode and R's `readLines` read it; positions refer to that text.

What is wrong with one line alone (JSON that does not parse, a missing answer, half a character, damaged UTF-8) becomes
an `InvalidText`, whose result is the error, and the others are answered. What is wrong with the file is a `UsageError`.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import IO, Any, AnyStr, BinaryIO, Final, Generic

from model_cache.errors import UsageError
from qda_worker.client.cli import encodings
from qda_worker.client.cli.file_types import recognize
from qda_worker.client.cli.options import Input
from qda_worker.client.results import ItemError
from qda_worker.client.texts import InvalidText, Text
from qda_worker.limits import MAX_REQUEST_BYTES

_CHUNK_BYTES: Final = 64 * 1024

# Bytes that are waited for before the encoding and the type of a file are decided; one line is enough, because a
# program may write its next one only after the result of the first.
_HEAD_BYTES: Final = 512

# Bytes of a line, or of a whole file, above which its content is dropped: a request cannot hold it, however it is
# encoded or escaped, and a file without line ends (a sparse one, a device) must not fill the memory.
_MAX_BYTES: Final = 4 * MAX_REQUEST_BYTES

_NUL_REMEDY: Final = "remove it; if there are many, the file is damaged or no text file"

_LINE_FORMAT: Final = 'give {"id": "…", "text": "…"} on each line'

# Lines in a wrong format that are held back until one is right. A file without any is refused as a whole.
_HELD_BACK_LINES: Final = 1_000


def read_texts(file: str, stdin: BinaryIO, *, kind: Input, whole: bool, encoding: str = "") -> Iterator[Text]:
    """Yield the texts of a file. The id of a line is its number, that of a whole file its name.

    Args:
        file: its path; `-` means `stdin`.
        stdin: the program's stdin.
        kind: the file's format.
        whole: whether the whole file is one text.
        encoding: the file's encoding; empty: that of its byte order mark, else UTF-8.

    Raises:
        UsageError: when the file cannot be read, is no plain text, is in another encoding, or has no line in the right
            format.
    """
    name = "stdin" if file == "-" else file
    try:
        with _open(file, stdin) as stream:
            source = _Source(stream, name, encoding)
            if whole:
                yield source.whole(_short_id(name))
            elif kind is Input.LINES:
                yield from source.lines()
            else:
                yield from _json_texts(source.lines(each_alone=True), name)
    except OSError as error:
        raise UsageError(
            f"{name} cannot be read: {error.strerror}", "give a readable file, or - for stdin"
        ) from error


class _Source:
    """The decoded content of one file."""

    def __init__(self, stream: IO[bytes], name: str, encoding: str) -> None:
        """Read the first bytes and decide what the file is.

        Raises:
            UsageError: when it is no plain text, or its encoding is not known.
        """
        self._name = name
        chunks = iter(lambda: _read_available(stream), b"")
        self._head = b""
        while not _is_decisive(self._head) and (chunk := next(chunks, b"")):
            self._head += chunk
        _, self._start = encodings.split_mark(self._head)
        unmarked = self._head[self._start :]
        file_type = recognize(unmarked, chunks)
        if file_type is not None:
            raise UsageError(f"{name} is {file_type.name}, not a plain text file", file_type.remedy)
        self._encoding = encodings.choose_encoding(self._head, encoding, name)
        self._chunks = chain([unmarked], chunks)

    def whole(self, text_id: str) -> Text:
        """Return the whole content, with LF as line end.

        Raises:
            UsageError: when the file is not in its encoding, or has NUL characters.
        """
        if self._encoding == encodings.UTF8:
            content = _join_within_limit(self._chunks, b"")
            text = None if content is None else self._decode_utf8(content, content, self._start, 0)
        else:
            decoded = encodings.decode_chunks(self._chunks, self._encoding, self._name)
            text = _join_within_limit(decoded, "")
        if text is None:
            return InvalidText("", text_id, error=_too_long("the file"))
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise UsageError(f"{self._name} has a NUL character on line {line}", _NUL_REMEDY)
        return Text(text, id=text_id)

    def lines(self, *, each_alone: bool = False) -> Iterator[Text]:
        """Yield each line that is not blank; its id is its number, from 1.

        Args:
            each_alone: whether a line that is not UTF-8 is an error of this line in any case. Otherwise it is one of
                the file, unless other lines show that the file is UTF-8.

        Raises:
            UsageError: when the file is not in its encoding.
        """
        if self._encoding != encodings.UTF8:
            texts = encodings.decode_chunks(self._chunks, self._encoding, self._name)
            for number, (_, line) in enumerate(_split_lines(texts, ""), start=1):
                yield from _line_text(line, number, nul_allowed=each_alone)
            return
        for number, (offset, content) in enumerate(_split_lines(self._chunks, b""), start=1):
            if content is None:
                yield from _line_text(None, number, nul_allowed=each_alone)
                continue
            try:
                line = (
                    content.decode(errors="surrogatepass")
                    if each_alone
                    else self._decode_utf8(
                        content, self._sample(offset, content), self._start + offset, number
                    )
                )
            except UnicodeDecodeError as error:
                message = (
                    f"line {number} is not UTF-8: its byte {error.start} is 0x{content[error.start]:02x}"
                )
                remedy = encodings.not_utf8_remedy(content)
                yield InvalidText("", str(number), error=ItemError("TEXT_NOT_UTF8", message, remedy))
                continue
            yield from _line_text(line, number, nul_allowed=each_alone)

    def _sample(self, offset: int, content: bytes) -> bytes:
        """Return the beginning of the file, and a line that starts at `offset`."""
        in_head = self._start + offset + len(content) <= len(self._head)
        return self._head if in_head else self._head + content

    def _decode_utf8(self, content: bytes, sample: bytes, offset: int, line: int) -> str:
        """Decode a part of the file; half characters are kept, because they spoil one text only.

        Args:
            content: the part.
            sample: what is known of the file.
            offset: the offset of the part in the file, for errors.
            line: its number; 0 if it is the whole file.

        Raises:
            UnicodeDecodeError: when this line is damaged, and the file is UTF-8 otherwise.
            UsageError: when the file is not UTF-8.
        """
        try:
            return content.decode(errors="surrogatepass")
        except UnicodeDecodeError as error:
            if line and encodings.is_damaged_utf8(sample):
                raise
            place = f", line {line}" if line else ""
            raise UsageError(
                f"{self._name} is not UTF-8: byte {offset + error.start}{place} is 0x{content[error.start]:02x}",
                encodings.not_utf8_remedy(sample),
            ) from error


def _open(file: str, stdin: BinaryIO) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(stdin) if file == "-" else Path(file).open("rb")


def _is_decisive(head: bytes) -> bool:
    has_line = b"\n" in head and not encodings.may_be_mark(head)
    return has_line or len(head) >= _HEAD_BYTES


def _read_available(stream: IO[bytes]) -> bytes:
    """Return what can be read without waiting for more; empty at the end. A pipe may be written line by line."""
    read_available: Any = getattr(stream, "read1", stream.read)
    content: bytes = read_available(_CHUNK_BYTES)
    return content


def _line_text(line: str | None, number: int, *, nul_allowed: bool) -> Iterator[Text]:
    """Yield the text of a line, unless it is blank; None is a line that is too long.

    Args:
        line: the line.
        number: of the line, from 1.
        nul_allowed: whether the reader of the line reports NUL characters itself.
    """
    if line is None:
        yield InvalidText("", str(number), error=_too_long(f"line {number}"))
    elif "\0" in line and not nul_allowed:
        error = ItemError("ARGUMENT_INVALID", f"line {number} has a NUL character", _NUL_REMEDY)
        yield InvalidText("", str(number), error=error)
    elif line.strip():
        yield Text(line, id=str(number))


def _too_long(what: str) -> ItemError:
    message = f"{what} has more than {_MAX_BYTES:,} bytes; a request takes {MAX_REQUEST_BYTES:,} at most"
    return ItemError("TEXT_TOO_LONG", message, "split the text")


def _join_within_limit(chunks: Iterable[AnyStr], empty: AnyStr) -> AnyStr | None:
    """Return the joined chunks; None if they are too long."""
    parts: list[AnyStr] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > _MAX_BYTES:
            return None
        parts.append(chunk)
    return empty.join(parts)


def _split_lines(chunks: Iterator[AnyStr], empty: AnyStr) -> Iterator[tuple[int, AnyStr | None]]:
    """Yield the start and the content of each line, which ends by LF, CRLF or CR, or with the file.

    The content of a line that is too long is None.
    """
    line_end: re.Pattern[AnyStr]
    if isinstance(empty, str):
        line_end, carriage_return = re.compile("\r\n|\n|\r"), "\r"
    else:
        line_end, carriage_return = re.compile(b"\r\n|\n|\r"), b"\r"
    line = _Line(empty)
    start, position, carried = 0, 0, empty
    for piece in chunks:
        chunk = carried + piece
        carried = chunk[-1:] if chunk.endswith(carriage_return) else empty  # LF may follow in the next one
        if carried:
            chunk = chunk[:-1]
        done = 0
        for match in line_end.finditer(chunk):
            line.add(chunk[done : match.start()])
            yield start, line.take()
            done = match.end()
            start = position + done
        line.add(chunk[done:])
        position += len(chunk)
    last = line.take()
    if last is None or last or carried:
        yield start, last


class _Line(Generic[AnyStr]):
    """The parts of a line that have been read, up to the limit."""

    def __init__(self, empty: AnyStr) -> None:
        self._empty: AnyStr = empty
        self._parts: list[AnyStr] = []
        self._size = 0

    def add(self, part: AnyStr) -> None:
        """Add the next part; drop all of them if the line is too long."""
        self._size += len(part)
        if self._size <= _MAX_BYTES:
            self._parts.append(part)
        else:
            self._parts.clear()

    def take(self) -> AnyStr | None:
        """Return the line, None if it is too long, and begin the next one."""
        content = self._empty.join(self._parts) if self._size <= _MAX_BYTES else None
        self._parts.clear()
        self._size = 0
        return content


def _json_texts(lines: Iterator[Text], name: str) -> Iterator[Text]:
    """Yield the text of each line of JSON.

    Raises:
        UsageError: when no line is in the right format.
    """
    wrong: list[InvalidText] = []
    any_right = False
    for line in lines:
        text, in_format = (
            (line, False) if isinstance(line, InvalidText) else _from_json(line.content, line.id)
        )
        any_right |= in_format
        if isinstance(text, InvalidText) and not any_right and len(wrong) < _HELD_BACK_LINES:
            wrong.append(text)
            continue
        yield from wrong
        wrong.clear()
        yield text
    if not wrong:
        return
    if any_right:
        yield from wrong
        return
    raise UsageError(f"{name}, {wrong[0].error.message}", wrong[0].error.remedy or _LINE_FORMAT)


def _from_json(line: str, number: str) -> tuple[Text, bool]:
    """Return the text of a line of JSON, and whether the line is in the right format."""
    try:
        value: Any = json.loads(line.removeprefix("\ufeff"))  # files with a mark that were joined
    except (ValueError, RecursionError) as error:
        return _wrong(f"line {number}: found no JSON ({error})", number), False
    fields = value if isinstance(value, dict) else {"text": value}
    identifier, language = fields.get("id"), fields.get("language")
    known_id = isinstance(identifier, str | int | float) and not isinstance(identifier, bool)
    text_id = str(identifier) if known_id and not _is_missing(identifier) else number
    if "text" not in fields:
        return _wrong(f'line {number}: found an object without "text"', text_id), False
    content = fields["text"]
    if _is_missing(content):
        missing = ItemError("TEXT_EMPTY", f"line {number}: the text is missing (null)", "leave the line out")
        return InvalidText("", text_id, error=missing), True
    if not isinstance(content, str):
        found = 'neither a string nor an object with a string "text"'
        return _wrong(f"line {number}: found {found}", text_id), False
    if not (known_id or _is_missing(identifier)) or not (isinstance(language, str) or _is_missing(language)):
        return _wrong(f'line {number}: found an object whose "id" or "language" is no string', text_id), False
    return Text(content, id=text_id, language=language or ""), True


def _is_missing(value: object) -> bool:
    """Return whether a value is null, or the NaN that pandas writes for a missing one."""
    return value is None or value != value  # noqa: PLR0124 - only NaN differs from itself


def _wrong(message: str, text_id: str) -> InvalidText:
    return InvalidText("", text_id, error=ItemError("ARGUMENT_INVALID", message, _LINE_FORMAT))


def _short_id(name: str) -> str:
    """Return a file's name as an id, which may have at most 256 bytes."""
    return os.fsencode(Path(name).name).decode(errors="replace").encode()[-256:].decode(errors="ignore")
