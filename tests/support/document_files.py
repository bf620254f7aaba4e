"""Small documents as office programs write them, built from their XML, and PDFs from their lines."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from qda_worker.client.readers.corpus import read_corpus
from qda_worker.client.readers.options import InputFormat, ReadingOptions, Segmentation
from qda_worker.client.readers.segment import InvalidSegment, Segment

_WORD: Final = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:v="urn:schemas-microsoft-com:vml"'
)
_ODF: Final = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in {
        "office": "office", "text": "text", "table": "table", "style": "style", "fo": "xsl-fo-compatible",
        "draw": "drawing", "dc": "dc",
    }.items()
)  # fmt: skip


def zipped(*parts: tuple[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive of the parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in parts:
            kept = zipfile.ZIP_STORED if name == "mimetype" else compression
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=kept)
    return buffer.getvalue()


def docx(body: str, **parts: str) -> bytes:
    """Return a Word document: the XML of its body, and that of further parts by name (`footnotes`)."""
    document = f"<w:document {_WORD}><w:body>{body}<w:sectPr/></w:body></w:document>"
    others = [(f"word/{name}.xml", f"<w:{name} {_WORD}>{xml}</w:{name}>") for name, xml in parts.items()]
    return zipped(("[Content_Types].xml", "<Types/>"), ("word/document.xml", document), *others)


def paragraph(*texts: str) -> str:
    """Return the XML of a paragraph of a Word document; a text that begins with `*` is bold."""
    runs = (
        f"<w:r>{'<w:rPr><w:b/></w:rPr>' if text.startswith('*') else ''}"
        f'<w:t xml:space="preserve">{text.removeprefix("*")}</w:t></w:r>'
        for text in texts
    )
    return f"<w:p>{''.join(runs)}</w:p>"


def odt(body: str, styles: str = "", manifest: str = "") -> bytes:
    """Return an OpenDocument text: the XML of its body and its automatic styles."""
    content = (
        f"<office:document-content {_ODF}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    )
    return zipped(
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        ("META-INF/manifest.xml", f"<manifest>{manifest}</manifest>"),
        ("content.xml", content),
    )


def pdf(*pages: Sequence[str]) -> bytes:
    """Return a PDF; each page has its lines, from top to bottom."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", font]
    kids = []
    for lines in pages:
        shown = b"".join(
            b"1 0 0 1 50 %d Tm (%s) Tj " % (800 - 14 * at, _escaped(line)) for at, line in enumerate(lines)
        )
        content = b"BT /F1 11 Tf " + shown + b"ET"
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    file = b"%PDF-1.4\n"
    offsets = []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return file + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (len(objects) + 1, table, len(objects) + 1, len(file))
    )


def _escaped(line: str) -> bytes:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").encode("cp1252")


def read(
    content: bytes | str,
    name: str,
    folder: Path,
    *,
    segment: Segmentation | None = None,
    warnings: list[str] | None = None,
    input: InputFormat = InputFormat.AUTO,
    encoding: str = "",
    column: str = "",
    id_column: str = "",
    sheet: str = "",
    header: bool = True,
) -> list[Segment]:
    """Write a file to a folder and return its segments."""
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    options = ReadingOptions(input, segment, encoding, column, id_column, sheet, header)
    messages = [] if warnings is None else warnings
    return list(read_corpus([str(file)], options, warn=messages.append))


def turns(segments: Sequence[Segment]) -> list[tuple[str | None, str]]:
    """Return who says what."""
    return [(segment.speaker, segment.text) for segment in segments]


def texts(segments: Sequence[Segment]) -> list[str]:
    """Return the texts."""
    return [segment.text for segment in segments]


def errors(segments: Sequence[Segment]) -> dict[str, str]:
    """Return the reasons of the segments with an error by their ids."""
    return {each.id: each.error.reason for each in segments if isinstance(each, InvalidSegment)}
