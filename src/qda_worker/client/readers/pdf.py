"""Read the text of a PDF.

A PDF has lines on pages, and no paragraphs. A paragraph ends at a blank line, behind a line that is clearly shorter
than the others, and before a speaker's label; a word that is hyphenated at the end of a line is joined. Lines that
recur at the top or bottom of the pages, and page numbers there, are left out.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from model_cache.errors import UsageError
from qda_worker.client.extra_packages import import_package
from qda_worker.client.readers.document import Block, Document, DocumentBuilder
from qda_worker.client.readers.segment import PlaceUnit
from qda_worker.client.readers.speakers import find_utterances

# Characters a page below which a PDF has pictures of its pages and no text (a scan may have a stamp or page numbers).
_FEWEST_CHARACTERS: Final = 5
# Share of the usual length of a line below which a line is the last one of its paragraph.
_SHORT_LINE: Final = 0.75
# Pages from which on a line that recurs in the same place is a header or footer, and the share of all pages.
_FEWEST_PAGES: Final = 3
_RECURRING_SHARE: Final = 0.5
_PAGE_NUMBER: Final = re.compile(
    r"(?:Seite|S\.|Page|-|–)?\s*\d{1,4}\s*(?:(?:/|von|of)\s*\d{1,4}|-|–)?\Z", re.IGNORECASE
)
_DIGITS: Final = re.compile(r"\d+")
_HYPHENATED: Final = re.compile(r"[a-zäöüß][-\u00ad\u2010]\Z")
# A number, a hyphen at the end of a line, and a number.
_DIGITS_AROUND: Final = re.compile(r"\d-\d")
_ELLIPTIC: Final = re.compile(r"(?:und|oder|bzw\.?|sowie)\b")
_ENDS_SENTENCE: Final = re.compile(r"[.!?…:][\"“”»«)\]]*\Z")


@dataclass(frozen=True, slots=True)
class _Line:
    page: int
    text: str  # empty: a blank line


def read_pdf(stream: IO[bytes], source: str, warn: Callable[[str], None]) -> Document:
    """Return the text of a PDF.

    Args:
        stream: the file; it must be seekable.
        source: its name, for messages.
        warn: called with a message if some pages have no text.

    Raises:
        UsageError: when it is damaged, has a password or no text, or pypdf is not installed.
    """
    pypdf: Any = import_package("pypdf", "a PDF document")
    logging.getLogger("pypdf").addHandler(logging.NullHandler())  # it would write each small damage to stderr
    try:
        reader = pypdf.PdfReader(stream)
        if reader.is_encrypted and not reader.decrypt(""):
            raise UsageError(
                f"{source} has a password", "remove it (print the PDF to a new PDF) and give that file"
            )
        pages = [page.extract_text() or "" for page in reader.pages]
    except UsageError:
        raise
    except Exception as error:
        if type(error).__name__ == "DependencyError":
            raise UsageError(
                f"{source} is encrypted: {error}", "install the extra files: pip install 'qda-worker[files]'"
            ) from error
        raise UsageError(
            f"{source} is damaged ({type(error).__name__}: {error})",
            "open it in a PDF reader and print it to a new PDF, or copy its text into a text file",
        ) from error
    _check_text(pages, source, warn)
    return _paragraphs(_without_margins(pages))


def _check_text(pages: Sequence[str], source: str, warn: Callable[[str], None]) -> None:
    sizes = [len("".join(page.split())) for page in pages]
    if sum(sizes) < _FEWEST_CHARACTERS * max(1, len(pages)):
        raise UsageError(
            f"{source} has no text on its {len(pages):,} pages: it is probably scanned",
            "recognize its text first (OCR), as by ocrmypdf -l deu IN.pdf OUT.pdf",
        )
    blank = [str(number) for number, size in enumerate(sizes, start=1) if size == 0]
    if blank:
        warn(f"{source} has no text on page {', '.join(blank[:20])}{' …' if len(blank) > 20 else ''}")


def _without_margins(pages: Sequence[str]) -> list[_Line]:
    """Return the lines of all pages without headers, footers and page numbers."""
    split = [[line.strip() for line in page.replace("\0", "").splitlines()] for page in pages]
    split = [_trim(lines) for lines in split]
    recurring = Counter(
        (edge, _DIGITS.sub("0", lines[edge])) for lines in split if len(lines) > 1 for edge in (0, -1)
    )
    least = max(_FEWEST_PAGES, _RECURRING_SHARE * len(pages))
    found: list[_Line] = []
    for page, lines in enumerate(split, start=1):
        kept = lines
        for edge in (0, -1):
            if len(kept) > 1 and (
                _PAGE_NUMBER.match(kept[edge]) or recurring[edge, _DIGITS.sub("0", kept[edge])] >= least
            ):
                kept = _trim(kept[1:] if edge == 0 else kept[:-1])
        found.extend(_Line(page, line) for line in kept)
    return found


def _trim(lines: Sequence[str]) -> list[str]:
    """Return the lines without the blank ones at both ends."""
    filled = [at for at, line in enumerate(lines) if line]
    return list(lines[filled[0] : filled[-1] + 1]) if filled else []


def _paragraphs(lines: Sequence[_Line]) -> Document:
    builder = DocumentBuilder(PlaceUnit.PAGE)
    for page, text in _joined(lines):
        builder.add(text, number=page)
    return builder.build()


def _joined(lines: Sequence[_Line]) -> Iterator[tuple[int, str]]:
    """Yield the paragraphs with the page on which they begin."""
    opening = _labelled(lines)
    lengths = sorted(len(line.text) for line in lines if line.text)
    usual = lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0
    page, text = 0, ""
    before = _Line(0, "")
    for at, line in enumerate(lines):
        ends = (
            not line.text
            or at in opening
            or not before.text
            or (len(before.text) < _SHORT_LINE * usual and not line.text[0].islower())
            or (
                line.page != before.page
                and bool(_ENDS_SENTENCE.search(before.text))
                and not line.text[0].islower()
            )
        )
        if ends and text:
            yield page, text
            text = ""
        page = page if text else line.page
        text = _join(text, line.text)
        before = line
    if text:
        yield page, text


def _join(text: str, line: str) -> str:
    if not text or not line:
        return text or line
    if _HYPHENATED.search(text) and line[0].islower() and not _ELLIPTIC.match(line):
        return text[:-1] + line
    if text[-1] == "-" and _DIGITS_AROUND.fullmatch(text[-2:] + line[0]):
        return text + line  # 2019-2021, #00:01:23-4#
    return f"{text} {line}"


def _labelled(lines: Sequence[_Line]) -> frozenset[int]:
    """Return the positions of the lines with which a speaker begins."""
    blocks = [Block(line.text, line.page, 0, len(line.text), index=at) for at, line in enumerate(lines)]
    utterances = find_utterances([block for block in blocks if block.text]) or ()
    return frozenset(each.block.index for each in utterances if each.speaker or each.begins is not None)
