"""Reading texts: encodings, line ends, documents that are no plain text, lines with an error of their own."""

import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from qda_worker.client.readers.corpus import read_corpus
from qda_worker.client.readers.options import InputFormat, ReadingOptions, Segmentation
from qda_worker.client.texts import InvalidText, Text

SAMPLE: Final = "Früh\nGrüße 😀\r\nÄrger\rweiß nicht"
LINES: Final = ["Früh", "Grüße 😀", "Ärger", "weiß nicht"]


class Pipe(io.BytesIO):
    """A pipe whose writer sends a few bytes at a time."""

    def __init__(self, content: bytes, piece: int) -> None:
        super().__init__(content)
        self._piece = piece

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(self._piece)


def read_texts(
    file: str, stdin: io.BytesIO, *, kind: InputFormat = InputFormat.LINES, whole: bool, encoding: str = ""
) -> Iterator[Text]:
    options = ReadingOptions(input=kind, segment=Segmentation.FILE if whole else None, encoding=encoding)
    return (segment.to_text() for segment in read_corpus([file], options, stdin=stdin))


def read(
    content: bytes,
    *,
    kind: InputFormat = InputFormat.LINES,
    whole: bool = False,
    encoding: str = "",
    piece: int = 100_000,
) -> list[Text]:
    return list(read_texts("-", Pipe(content, piece), kind=kind, whole=whole, encoding=encoding))


def contents(texts: list[Text]) -> list[str]:
    return [text.content for text in texts]


def errors(texts: list[Text]) -> dict[str, str]:
    return {text.id: text.error.reason for text in texts if isinstance(text, InvalidText)}


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 100_000])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_file_with_a_byte_order_mark_is_read(encoding: str, piece: int) -> None:
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    texts = read((mark + SAMPLE).encode(encoding), piece=piece)
    assert contents(texts) == LINES
    assert [text.id for text in texts] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "windows-1252", "latin-1", "mac-roman", "cp850", "utf-16-le", "utf-32-be"]
)
@pytest.mark.parametrize("piece", [1, 5, 100_000])
def test_a_file_without_a_mark_is_read_in_the_given_encoding(encoding: str, piece: int) -> None:
    from qda_worker.client.readers.encodings import parse_encoding

    sample = SAMPLE.replace("😀", "")
    texts = read(sample.encode(encoding), encoding=parse_encoding(encoding), piece=piece)
    assert contents(texts) == [line.replace("😀", "") for line in LINES]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            SAMPLE.encode("utf-16-le"),
            ["UTF-16-LE without a byte order mark", "--encoding utf-16-le", "-f UTF-16LE"],
        ),
        (SAMPLE.encode("utf-16-be"), ["UTF-16-BE without a byte order mark", "--encoding utf-16-be"]),
        (SAMPLE.encode("utf-32-le"), ["UTF-32-LE without a byte order mark", "--encoding utf-32-le"]),
        (
            "schön".encode("latin-1"),
            ["byte 3, line 1 is 0xf6", "--encoding windows-1252", "latin-1", "iconv"],
        ),
        ("„schön“ – früh".encode("cp1252"), ["--encoding windows-1252", "iconv -f WINDOWS-1252"]),
        ("schön, früh".encode("mac-roman"), ["--encoding mac-roman", "iconv -f MACINTOSH"]),
        ("schön, früh".encode("cp850"), ["--encoding cp850"]),
        (b"\x00\x01\x02\xff\xfe\x03" * 9, ["bytes that texts do not have"]),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_another_encoding_is_refused_with_its_remedy(content: bytes, words: list[str], whole: bool) -> None:
    with pytest.raises(UsageError) as caught:
        read(content, whole=whole)
    message = str(caught.value).replace("byte 3 is", "byte 3, line 1 is")
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (SAMPLE.encode("utf-16"), "cp1252", "byte order mark of UTF-16-LE"),
        (SAMPLE.encode("utf-8-sig"), "cp1252", "byte order mark of UTF-8"),
        (SAMPLE.encode(), "cp1252", "is UTF-8, and --encoding says cp1252"),
        (SAMPLE.encode("utf-8"), "ascii", "is not ASCII"),
        (b"\xff\xfea", "utf-16", "is not UTF-16"),
    ],
)
def test_a_wrong_encoding_is_refused(content: bytes, encoding: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(content, encoding=encoding)


def test_the_mark_may_be_named() -> None:
    assert contents(read("\ufeffÄ".encode("utf-16-le"), encoding="utf-16")) == ["Ä"]
    assert contents(read("Ä".encode("utf-16-le"), encoding="utf-16")) == ["Ä"]
    assert contents(read("\ufeffÄ".encode("utf-16-be"), encoding="utf-16-be")) == ["Ä"]


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
def test_lines_end_by_lf_crlf_or_cr(piece: int) -> None:
    texts = read(b"a\nb\r\nc\rd\r\r\n\n e\x0bf\xe2\x80\xa8g \r", piece=piece)
    assert [(text.id, text.content) for text in texts] == [
        ("1", "a"), ("2", "b"), ("3", "c"), ("4", "d"), ("7", " e\x0bf\u2028g ")
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_whole_file_is_the_text_that_python_reads(tmp_path: Path, encoding: str, line_end: str) -> None:
    """So `text[start:end]` is what a position means, however the lines of the file end."""
    file = tmp_path / "interview.txt"
    file.write_bytes(line_end.join(["Hier", "", "Grüße 😀", "Anna", ""]).encode(encoding))
    [text] = read_texts(str(file), io.BytesIO(), kind=InputFormat.LINES, whole=True)
    with file.open(encoding="utf-8-sig" if encoding.startswith("utf-8") else encoding) as opened:
        assert text.content == opened.read()


def zipped(*parts: tuple[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts:
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


OLE2: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(3_000)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (rb"{\rtf1\ansi Guten Tag\par}", "an RTF document"),
        (b"\xef\xbb\xbf  {\\rtf1 x}", "an RTF document"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (
            zipped(("[Content_Types].xml", "x" * 200_000), ("word/document.xml", "x")),
            "a Word document (docx)",
        ),
        (zipped(("xl/workbook.xml", "x")), "an Excel workbook (xlsx)"),
        (zipped(("ppt/presentation.xml", "x")), "a PowerPoint presentation (pptx)"),
        (zipped(("mimetype", "application/vnd.oasis.opendocument.text")), "an OpenDocument text (odt)"),
        (
            zipped(("mimetype", "application/vnd.oasis.opendocument.spreadsheet")),
            "an OpenDocument spreadsheet",
        ),
        (zipped(("interview.txt", "x")), "a ZIP archive"),
        (OLE2 + "WordDocument".encode("utf-16-le"), "a Word document (doc)"),
        (OLE2 + "Workbook".encode("utf-16-le"), "an Excel workbook (xls)"),
        (OLE2 + "EncryptedPackage".encode("utf-16-le"), "a document with a password"),
        (OLE2, "a document of an old Office program"),
        (gzip.compress(b"gut", mtime=0), "compressed by gzip"),
        (b"<!DOCTYPE html>\n<p>gut", "an HTML page"),
        (b"ID3\x04\x00", "a recording"),
        (b"\xff\xd8\xff\xe0", "an image"),
    ],
)
@pytest.mark.parametrize("piece", [6, 100_000])
@pytest.mark.parametrize("kind", [InputFormat.LINES, InputFormat.JSONL])
def test_a_document_is_named_with_what_to_do(
    content: bytes, name: str, piece: int, kind: InputFormat
) -> None:
    with pytest.raises(UsageError) as caught:
        read(content, piece=piece, kind=kind)
    assert f"stdin is {name}" in caught.value.message
    assert caught.value.remedy
    assert "iconv" not in caught.value.remedy


def test_a_line_with_a_format_error_does_not_affect_the_others() -> None:
    lines = [
        '"a"', "null", '{"text": null}', '{"id": "n", "text": NaN}', '{"text": 5}', '{"te', "[1]", '{"id": 1}',
        '{"id": {}, "text": "x"}', '{"id": true, "text": "x"}', '{"text": "x", "language": 5}', "[" * 100_000,
        '{"id": null, "language": null, "text": "b"}', '{"id": 2.5, "text": "c"}', '{"id": 7, "text": "\\ud83d"}',
    ]  # fmt: skip
    texts = read("\n".join(lines).encode(), kind=InputFormat.JSONL)
    assert len(texts) == len(lines)
    assert errors(texts) == {
        "2": "TEXT_EMPTY", "3": "TEXT_EMPTY", "n": "TEXT_EMPTY", "5": "ARGUMENT_INVALID", "6": "ARGUMENT_INVALID",
        "7": "ARGUMENT_INVALID", "1": "ARGUMENT_INVALID", "9": "ARGUMENT_INVALID", "10": "ARGUMENT_INVALID",
        "11": "ARGUMENT_INVALID", "12": "ARGUMENT_INVALID",
    }  # fmt: skip
    assert [(text.id, text.content) for text in texts[12:]] == [("13", "b"), ("2.5", "c"), ("7", "\ud83d")]
    assert all("line" in text.error.message for text in texts if isinstance(text, InvalidText))


def test_errors_keep_their_place_before_the_first_right_line() -> None:
    texts = read(b'{"te\n5\n"a"\n{"te', kind=InputFormat.JSONL)
    assert [(text.id, isinstance(text, InvalidText)) for text in texts] == [
        ("1", True), ("2", True), ("3", False), ("4", True)
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"gut\nschlecht", b'{"id": 1}', b"[\n1,\n2\n]"])
def test_a_file_without_any_line_in_the_right_format_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match="stdin, line 1: found"):
        read(content, kind=InputFormat.JSONL)


def test_missing_answers_alone_are_errors_of_their_lines() -> None:
    assert errors(read(b"null\nnull", kind=InputFormat.JSONL)) == {"1": "TEXT_EMPTY", "2": "TEXT_EMPTY"}


def test_bytes_that_are_not_utf8_are_errors_of_their_line_of_json() -> None:
    texts = read(b'"a"\n{"text": "b\xff"}\n"c"', kind=InputFormat.JSONL)
    assert (contents(texts), errors(texts)) == (["a", "", "c"], {"2": "TEXT_NOT_UTF8"})


@pytest.mark.parametrize("before", [0, 30_000])
def test_damage_in_a_utf8_file_is_an_error_of_its_line(before: int) -> None:
    texts = read("schön früh\n".encode() + b"x\n" * before + b"ba\xffd\n\xc3\nauch gut", piece=4_096)
    assert set(errors(texts).values()) == {"TEXT_NOT_UTF8"}
    assert [text.id for text in texts if isinstance(text, InvalidText)] == [str(before + 2), str(before + 3)]
    assert texts[-1].content == "auch gut"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32"])
def test_half_an_emoji_in_a_file_is_left_to_the_client(encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("be") else ""
    content = (mark + "gut\nhalb\ud83d\nauch gut").encode(encoding, "surrogatepass")
    assert contents(read(content)) == ["gut", "halb\ud83d", "auch gut"]


def test_the_name_of_a_file_may_be_in_any_encoding(tmp_path: Path) -> None:
    file = Path(str(tmp_path).encode().decode(), "sch\udcf6n.txt")
    file.write_text("gut", encoding="utf-8")
    [text] = read_texts(str(file), io.BytesIO(), kind=InputFormat.LINES, whole=True)
    assert text.id == "sch\ufffdn.txt"


def test_lines_are_yielded_before_the_input_ends() -> None:
    class Endless(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return b"gut\nsehr gut\n"

    texts = read_texts("-", Endless(), kind=InputFormat.LINES, whole=False)
    assert [next(texts).content for _ in range(3)] == ["gut", "sehr gut", "gut"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("tail", ["\0" * 4_096, "Dan\0ke"], ids=["padding", "within"])
def test_a_line_with_a_nul_is_an_error_of_that_line(encoding: str, tail: str) -> None:
    given = encoding if encoding == "cp1252" else ""
    texts = read(f"gut\n{tail}\nauch gut\nDanke".encode(encoding), encoding=given)
    assert contents(texts) == ["gut", "", "auch gut", "Danke"]
    assert errors(texts) == {"2": "ARGUMENT_INVALID"}


def test_a_whole_file_with_a_nul_is_refused() -> None:
    with pytest.raises(UsageError, match="stdin has a NUL character on line 2"):
        read(b"gut\r\nDan\0ke", whole=True)


@pytest.mark.parametrize("content", [bytes(5_000), b"\x01\x02gut\0\x03\x04\n" * 50], ids=["sparse", "mixed"])
@pytest.mark.parametrize("encoding", ["", "utf-8", "cp1252"])
def test_a_file_that_is_no_text_is_refused(content: bytes, encoding: str) -> None:
    with pytest.raises(UsageError, match="is not a text file"):
        read(content, encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "iso8859-1"])
def test_utf16_without_a_mark_is_refused_whatever_is_given(encoding: str) -> None:
    with pytest.raises(
        UsageError, match=f"UTF-16-LE without a byte order mark, and --encoding says {encoding}"
    ):
        read("gut\nfrüh".encode("utf-16-le"), encoding=encoding)


class LongLine(io.BytesIO):
    """A line without an end, such as that of a sparse file, then a short one; counts the pieces."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def read1(self, size: int | None = -1, /) -> bytes:
        self.pieces -= 1
        return b"gut " * 2**18 if self.pieces > 0 else b"\nkurz\n" if self.pieces == 0 else b""


def test_a_line_that_no_request_can_hold_does_not_fill_the_memory() -> None:
    lines = list(read_texts("-", LongLine(100), kind=InputFormat.LINES, whole=False))
    assert (contents(lines), errors(lines)) == (["", "kurz"], {"1": "TEXT_TOO_LONG"})


def test_an_endless_whole_file_is_not_read_to_its_end() -> None:
    stream = LongLine(1_000_000)
    texts = list(read_texts("-", stream, kind=InputFormat.LINES, whole=True))
    assert errors(texts) == {"stdin": "TEXT_TOO_LONG"}
    assert stream.pieces > 999_000


@pytest.mark.parametrize("piece", [1, 3, 100_000])
def test_utf8_is_recognised_at_its_first_letter_wherever_that_is(piece: int) -> None:
    content = b"gut\n" * 200 + "schön".encode()
    with pytest.raises(UsageError, match="is UTF-8, and --encoding says cp1252"):
        read(content, encoding="cp1252", piece=piece)
    [*_, last] = read(b"gut\n" * 200 + "schön".encode("cp1252"), encoding="cp1252", piece=piece)
    assert last.content == "schön"


@pytest.mark.parametrize("encoding", ["iso8859-1", "iso8859-15"])
def test_windows_quotation_marks_are_not_read_as_control_characters(encoding: str) -> None:
    with pytest.raises(
        UsageError, match=r"the byte 84 on line 2 is a control character.*--encoding windows-1252"
    ):
        read("schön\n„gut“".encode("cp1252"), encoding=encoding)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (b"junk%PDF-1.4\r\n1 0 obj\n", "a PDF document"),
        (b"<!-- saved from url -->\n<html lang='de'>", "an HTML page"),
        (b"\n<HEAD>\n<meta charset=utf-8>", "an HTML page"),
        (zipped(("Index/Document.iwa", "x")), "a Pages, Numbers or Keynote document"),
    ],
)
def test_a_document_with_something_before_it_is_named(content: bytes, name: str) -> None:
    with pytest.raises(UsageError, match=f"stdin is {name}"):
        read(content)


@pytest.mark.parametrize(
    "content", ["Eine PDF beginnt mit %PDF-1.4, sagte er.\nGut.", "%PDF steht da.", "I: <html> kenne ich."]
)
def test_a_text_that_mentions_a_format_is_read(content: str) -> None:
    assert contents(read(content.encode())) == content.split("\n")


def test_marks_between_joined_files_do_not_break_json() -> None:
    texts = read(b'\xef\xbb\xbf{"text": "a"}\n\xef\xbb\xbf{"text": "b"}\n', kind=InputFormat.JSONL)
    assert (contents(texts), errors(texts)) == (["a", "b"], {})
