"""Decode a text file: line by line, so that a file of any length can be streamed, or as a whole.

The first bytes decide: a byte order mark or the user says the encoding (`encodings`). Lines end by LF, CRLF or CR. A
whole file has LF as line end, as Python's text mode and R's `readLines` read it; positions refer to that text.

What is wrong with one line alone (half a character, damaged UTF-8, a NUL) is an error of that line. What is wrong with
the file is a `UsageError`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, AnyStr, Final, Generic

from model_cache.errors import UsageError
from qda_worker.client.readers import encodings
from qda_worker.client.results import ItemError
from qda_worker.limits import MAX_REQUEST_BYTES

_CHUNK_BYTES: Final = 64 * 1024

# Bytes that are waited for before the encoding and the type of a file are decided; one line is enough, because a
# program may write its next one only after the result of the first.
_HEAD_BYTES: Final = 512

# Bytes of a line, or of a whole file, above which its content is dropped: a request cannot hold it, however it is
# encoded or escaped, and a file without line ends (a sparse one, a device) must not fill the memory.
MAX_BYTES: Final = 4 * MAX_REQUEST_BYTES

NUL_REMEDY: Final = "remove it; if there are many, the file is damaged or no text file"


class ByteSource:
    """The bytes of a file, of which the first ones are read before the others.

    Attributes:
        name: the file's name in messages.
        head: the first bytes.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        """Read the first bytes."""
        self.name = name
        self._rest = iter(lambda: _read_available(stream), b"")
        self.head = b""
        while not _is_decisive(self.head) and (chunk := next(self._rest, b"")):
            self.head += chunk

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes, the first ones included. Can be used once."""
        return chain([self.head], self._rest)


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a text file.

    Attributes:
        number: from 1.
        start: its offset in code points in the text of the file.
        text: without its line end.
        error: why it cannot be used; None if it can.
    """

    number: int
    start: int
    text: str
    error: ItemError | None = None


class TextSource:
    """The decoded content of one text file."""

    def __init__(self, source: ByteSource, encoding: str) -> None:
        """Decide the encoding; `encoding` is what the user says, empty if nothing.

        Raises:
            UsageError: when it cannot be known, or the file is no text.
        """
        self._name = source.name
        self._head = source.head
        _, self._start = encodings.split_mark(self._head)
        self._encoding = encodings.choose_encoding(self._head, encoding, self._name)
        chunks = source.chunks()
        next(chunks)
        self._chunks = chain([self._head[self._start :]], chunks)

    def whole(self) -> str | None:
        """Return the whole content, with LF as line end; None if it is too long.

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
            return None
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise UsageError(f"{self._name} has a NUL character on line {line}", NUL_REMEDY)
        return text

    def lines(self, *, each_alone: bool = False) -> Iterator[SourceLine]:
        """Yield each line that is not blank.

        Args:
            each_alone: whether a line that is not UTF-8 is an error of this line in any case. Otherwise it is one of
                the file, unless other lines show that the file is UTF-8. NUL characters are left to the caller.

        Raises:
            UsageError: when the file is not in its encoding.
        """
        start = 0
        for number, (length, text, error) in enumerate(self._decoded_lines(each_alone), start=1):
            if error is not None:
                yield SourceLine(number, start, "", error)
            elif "\0" in text and not each_alone:
                message = f"line {number} has a NUL character"
                yield SourceLine(number, start, "", ItemError("ARGUMENT_INVALID", message, NUL_REMEDY))
            elif text.strip():
                yield SourceLine(number, start, text)
            start += length + 1

    def every_line(self) -> Iterator[str | None]:
        """Yield each line, blank ones included; None for one that is too long. Not for UTF-8.

        Raises:
            UsageError: when the file is not in its encoding.
        """
        texts = encodings.decode_chunks(self._chunks, self._encoding, self._name)
        return (line for _, _, line in _split_lines(texts, ""))

    def _decoded_lines(self, each_alone: bool) -> Iterator[tuple[int, str, ItemError | None]]:
        """Yield the length of each line in code points, its text and its error."""
        if self._encoding != encodings.UTF8:
            texts = encodings.decode_chunks(self._chunks, self._encoding, self._name)
            for number, (_, size, line) in enumerate(_split_lines(texts, ""), start=1):
                yield size, line or "", too_long(f"line {number}") if line is None else None
            return
        for number, (offset, size, content) in enumerate(_split_lines(self._chunks, b""), start=1):
            if content is None:
                yield size, "", too_long(f"line {number}")
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
                length = len(content.decode(errors="replace"))
                yield length, "", ItemError("TEXT_NOT_UTF8", message, remedy)
                continue
            yield len(line), line, None

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


def too_long(what: str) -> ItemError:
    """Return the error of a line or file that no request can hold."""
    message = f"{what} has more than {MAX_BYTES:,} bytes; a request takes {MAX_REQUEST_BYTES:,} at most"
    return ItemError("TEXT_TOO_LONG", message, "split the text")


def byte_lines(chunks: Iterator[bytes]) -> Iterator[bytes | None]:
    """Yield each line without its end; None if it is too long."""
    return (content for _, _, content in _split_lines(chunks, b""))


def _is_decisive(head: bytes) -> bool:
    has_line = b"\n" in head and not encodings.may_be_mark(head)
    return has_line or len(head) >= _HEAD_BYTES


def _read_available(stream: IO[bytes]) -> bytes:
    """Return what can be read without waiting for more; empty at the end. A pipe may be written line by line."""
    read_available: Any = getattr(stream, "read1", stream.read)
    content: bytes = read_available(_CHUNK_BYTES)
    return content


def _join_within_limit(chunks: Iterable[AnyStr], empty: AnyStr) -> AnyStr | None:
    """Return the joined chunks; None if they are too long."""
    parts: list[AnyStr] = []
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_BYTES:
            return None
        parts.append(chunk)
    return empty.join(parts)


def _split_lines(chunks: Iterator[AnyStr], empty: AnyStr) -> Iterator[tuple[int, int, AnyStr | None]]:
    """Yield the start, the length and the content of each line, which ends by LF, CRLF or CR, or with the file.

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
            yield start, line.size, line.take()
            done = match.end()
            start = position + done
        line.add(chunk[done:])
        position += len(chunk)
    size, last = line.size, line.take()
    if last is None or last or carried:
        yield start, size, last


class _Line(Generic[AnyStr]):
    """The parts of a line that have been read, up to the limit."""

    def __init__(self, empty: AnyStr) -> None:
        self._empty: AnyStr = empty
        self._parts: list[AnyStr] = []
        self.size = 0

    def add(self, part: AnyStr) -> None:
        """Add the next part; drop all of them if the line is too long."""
        self.size += len(part)
        if self.size <= MAX_BYTES:
            self._parts.append(part)
        else:
            self._parts.clear()

    def take(self) -> AnyStr | None:
        """Return the line, None if it is too long, and begin the next one."""
        content = self._empty.join(self._parts) if self.size <= MAX_BYTES else None
        self._parts.clear()
        self.size = 0
        return content
