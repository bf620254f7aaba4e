"""Read one file into segments, by the reader that its format has.

The content decides about the format (`file_types`), the name only where contents look alike (CSV, JSON, JSON Lines,
plain text). Text files, tables and JSON Lines are read line by line in constant memory; a document and a JSON file are
read as a whole.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, Final

from model_cache.errors import UsageError
from qda_worker.client.readers import encodings
from qda_worker.client.readers.delimited import read_delimited
from qda_worker.client.readers.document import Document, text_document
from qda_worker.client.readers.file_types import FileType, Reader, is_container, recognize
from qda_worker.client.readers.files import STDIN
from qda_worker.client.readers.json_file import JSON_TOO_LONG_REMEDY, MAX_JSON_BYTES, read_json
from qda_worker.client.readers.json_lines import read_json_lines
from qda_worker.client.readers.noscribe import is_noscribe, read_noscribe
from qda_worker.client.readers.open_document import read_open_document
from qda_worker.client.readers.options import InputFormat, ReadingOptions, Segmentation
from qda_worker.client.readers.pdf import read_pdf
from qda_worker.client.readers.rtf import read_rtf
from qda_worker.client.readers.segment import InvalidSegment, Place, PlaceUnit, Segment
from qda_worker.client.readers.segmentation import divide, divide_sentences, divide_transcript
from qda_worker.client.readers.subtitles import are_subtitles, read_subtitles
from qda_worker.client.readers.table import read_rows
from qda_worker.client.readers.text_source import ByteSource, TextSource, too_long
from qda_worker.client.readers.word import read_word
from qda_worker.client.readers.workbook import read_workbook

# Bytes of a document, which is read as a whole.
_MAX_DOCUMENT_BYTES: Final = 512 * 2**20
# Bytes of a text file up to which it is read to find out whether it is a transcript; longer ones are read by lines, so
# that a corpus of any length does not fill the memory. Forty hours of speech have 2 MB.
_MAX_TRANSCRIPT_BYTES: Final = 4 * 2**20
# Bytes of a page, and characters of a text, that are searched for the signs of a transcript.
_HEAD_BYTES: Final = 64 * 1024
_KIND_BY_ENDING: Final = {
    ".csv": InputFormat.CSV,
    ".tsv": InputFormat.CSV,
    ".tab": InputFormat.CSV,
    ".jsonl": InputFormat.JSONL,
    ".ndjson": InputFormat.JSONL,
    ".json": InputFormat.JSON,
    ".otr": InputFormat.JSON,
}


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reads one file.

    Attributes:
        path: as it was given.
        source: its name in segments and messages.
    """

    path: str
    source: str
    options: ReadingOptions
    warn: Callable[[str], None]

    def segments(self, stdin: BinaryIO) -> Iterator[Segment]:
        """Yield the segments of the file; a whole file has no id yet.

        Raises:
            UsageError: when it cannot be read.
        """
        try:
            with self._open(stdin) as stream:
                source = ByteSource(stream, self.source)
                _, length = encodings.split_mark(source.head)
                head = source.head[length:]
                if is_container(head):
                    yield from self._container(stream, source)
                    return
                file_type = recognize(head, ())
                if file_type is None:
                    yield from self._text(source)
                else:
                    yield from self._document(file_type, BytesIO(self._content(source)))
        except OSError as error:
            raise UsageError(
                f"{self.source} cannot be read: {error.strerror}", "give a readable file, or - for stdin"
            ) from error

    def _open(self, stdin: BinaryIO) -> AbstractContextManager[IO[bytes]]:
        return nullcontext(stdin) if self.path == STDIN else Path(self.path).open("rb")

    def _content(
        self,
        source: ByteSource,
        most: int = _MAX_DOCUMENT_BYTES,
        remedy: str = "split it, or give its text",
    ) -> bytes:
        """Return all bytes of a document.

        Raises:
            UsageError: when there are too many.
        """
        parts, size = [], 0
        for chunk in source.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > most:
                raise UsageError(f"{self.source} has more than {most // 2**20} MiB", remedy)
        return b"".join(parts)

    def _container(self, stream: IO[bytes], source: ByteSource) -> Iterator[Segment]:
        """Yield the segments of a ZIP or OLE2 file, which is read at any position."""
        content: IO[bytes] = (
            stream if self.path != STDIN and stream.seekable() else BytesIO(self._content(source))
        )
        content.seek(0)
        file_type = recognize(content.read(8), iter(lambda: content.read(1 << 16), b""))
        content.seek(0)
        if file_type is not None:
            yield from self._document(file_type, content)

    def _document(self, file_type: FileType, stream: IO[bytes]) -> Iterator[Segment]:
        """Yield the segments of a document, or the rows of a workbook."""
        reader = file_type.reader
        if reader is None or self.options.input is not InputFormat.AUTO:
            remedy = file_type.remedy if reader is None else "leave --input out; it is read without it"
            raise UsageError(f"{self.source} is {file_type.name}, not a plain text file", remedy)
        if reader is Reader.WORKBOOK:
            rows = read_workbook(stream, self.source, self.options.sheet)
            yield from self._rows(read_rows(rows, self.options, self.source))
            return
        if reader is Reader.WORD:
            document = read_word(stream, self.source)
        elif reader is Reader.OPEN_DOCUMENT:
            document = read_open_document(stream, self.source)
        elif reader is Reader.RTF:
            document = read_rtf(stream.read(), self.source, self.warn)
        elif reader is Reader.PDF:
            document = read_pdf(stream, self.source, self.warn)
        else:
            document = self._page(file_type, stream.read())
        yield from self._divided(document)

    def _page(self, file_type: FileType, content: bytes) -> Document:
        document = None
        if is_noscribe(content[:_HEAD_BYTES]):
            text = TextSource(ByteSource(BytesIO(content), self.source), self.options.encoding).whole()
            document = read_noscribe(text or "")
        if document is None:
            raise UsageError(
                f"{self.source} is {file_type.name}, and no transcript of noScribe", file_type.remedy
            )
        return document

    def _divided(self, document: Document) -> Iterator[Segment]:
        return divide(document, self.options.segment, self.source)

    def _text(self, source: ByteSource) -> Iterator[Segment]:
        """Yield the segments of a text file."""
        kind = self.options.input
        if kind is InputFormat.AUTO:
            kind = _KIND_BY_ENDING.get(Path(self.path).suffix.lower(), kind)
            if self.path == STDIN and (self.options.column or self.options.id_column):
                kind = InputFormat.CSV
        if kind is InputFormat.CSV:
            options = self.options
            rows = read_delimited(source, options.encoding, self.warn, header=options.header)
            yield from self._rows(read_rows(rows, self.options, self.source))
        elif kind is InputFormat.JSON:
            content = self._content(source, MAX_JSON_BYTES, JSON_TOO_LONG_REMEDY)
            yield from read_json(
                content,
                self.source,
                encoding=self.options.encoding,
                segment=self.options.segment,
                warn=self.warn,
            )
        elif kind is InputFormat.JSONL and self.options.segment is not Segmentation.FILE:
            lines = TextSource(source, self.options.encoding).lines(each_alone=True)
            yield from self._rows(read_json_lines(lines, self.source))
        else:
            yield from self._plain(source, kind)

    def _rows(self, rows: Iterable[Segment]) -> Iterator[Segment]:
        """Yield the rows, or their sentences."""
        for row in rows:
            if self.options.segment is Segmentation.SENTENCE and not isinstance(row, InvalidSegment):
                yield from divide_sentences(row)
            else:
                yield row

    def _plain(self, source: ByteSource, kind: InputFormat) -> Iterator[Segment]:
        """Yield the segments of a plain text or of subtitles."""
        segment = self.options.segment
        if segment not in {None, Segmentation.LINE}:
            text = TextSource(source, self.options.encoding).whole()
            if text is None:
                yield InvalidSegment("", "", self.source, error=too_long("the file"))
            elif kind is InputFormat.AUTO and are_subtitles(text[:_HEAD_BYTES]):
                yield from self._divided(read_subtitles(text))
            elif segment is Segmentation.FILE:
                yield Segment(text, "", self.source, place=Place(PlaceUnit.LINE, 1, 0, len(text)))
            else:
                yield from self._divided(text_document(text))
        elif kind is InputFormat.AUTO and self._may_be_transcript(source):
            yield from self._turns_or_lines(self._content(source))
        else:
            yield from self._lines(source)

    def _may_be_transcript(self, source: ByteSource) -> bool:
        """Return whether to read the file as a whole. Stdin is not: its lines may be waited for one by one."""
        encoding, length = encodings.split_mark(source.head)
        head = source.head[length:].decode(encoding or encodings.UTF8, errors="replace")
        if are_subtitles(head):
            return True
        path = Path(self.path)
        return self.path != STDIN and path.is_file() and path.stat().st_size <= _MAX_TRANSCRIPT_BYTES

    def _turns_or_lines(self, content: bytes) -> Iterator[Segment]:
        """Yield the turns of a transcript, or the lines of another text."""
        try:
            text = TextSource(ByteSource(BytesIO(content), self.source), self.options.encoding).whole()
        except UsageError:
            text = None  # it may be an error of one line
        if text is not None:
            document = read_subtitles(text) if are_subtitles(text[:_HEAD_BYTES]) else text_document(text)
            segments = divide_transcript(document, self.options.segment, self.source)
            if segments is not None:
                yield from segments
                return
        yield from self._lines(ByteSource(BytesIO(content), self.source))

    def _lines(self, source: ByteSource) -> Iterator[Segment]:
        for line in TextSource(source, self.options.encoding).lines():
            number = str(line.number)
            if line.error is None:
                place = Place(PlaceUnit.LINE, line.number, line.start, line.start + len(line.text))
                yield Segment(line.text, number, self.source, place=place)
            else:
                place = Place(PlaceUnit.LINE, line.number)
                yield InvalidSegment("", number, self.source, place=place, error=line.error)
