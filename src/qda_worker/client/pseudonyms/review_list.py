"""The list of what will be replaced, which people review in a spreadsheet: a CSV file that German Excel opens.

It has a row for each form. Excel saves it in another encoding and with another delimiter than it was written, changes
line ends, and leaves out quotation marks; each of these is read. A cell that a spreadsheet would compute or turn into a
number begins with an apostrophe, which is removed again.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from model_cache.file_io import read_small_file
from qda_worker.client.pseudonyms.candidates import Candidate
from qda_worker.client.pseudonyms.forms import has_word
from qda_worker.client.readers import encodings

COLUMNS: Final = ("replace", "placeholder", "kind", "form", "count", "recognized", "found_by", "context")
_NEEDED: Final = ("replace", "placeholder", "form")

_DELIMITERS: Final = ";,\t|"
_MAX_BYTES: Final = 256 * 2**20
_MAX_PLACEHOLDER: Final = 100

# What a spreadsheet computes, or turns into a number, date or error. The longer forms are already escaped ones.
_SPECIAL: Final = re.compile(r"'*\s*(?:[=+\-@＝＋－＠\t\r\n#']|[^A-Za-zÄÖÜäöüß]*\Z|\d[\d\s.,:/-]*[A-Za-z])")

# Characters that would break the structure of a file in which a placeholder is written.
_FORBIDDEN: Final = re.compile(r'["\\;,<>&|\x00-\x1f\x7f-\x9f\u2028\u2029]')

_YES: Final = frozenset({"yes", "y", "ja", "j", "x", "1", "true", "wahr"})
_NO: Final = frozenset({"no", "n", "nein", "0", "false", "falsch", ""})


@dataclass(frozen=True, slots=True)
class ReviewedForm:
    """A form that people have decided to replace.

    Attributes:
        form: how it is written.
        placeholder: what is written instead.
        row: number of its row, as spreadsheets show it.
    """

    form: str
    placeholder: str
    row: int


def review_lines(candidates: Sequence[Candidate]) -> str:
    """Return the list as CSV, with a byte order mark."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=";", lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for each in candidates:
        writer.writerow(
            [
                "yes" if each.replace else "no",
                each.placeholder,
                each.kind,
                protect(each.form),
                each.count,
                each.recognized,
                each.found_by,
                protect(each.context),
            ]
        )
    return "\ufeff" + stream.getvalue()


def read_review(path: Path) -> list[ReviewedForm]:
    """Return the forms to replace.

    Raises:
        UsageError: when the list cannot be read, a row is wrong, or nothing is to be replaced.
    """
    rows = _rows(path)
    _, header = next(rows, (1, []))
    names = [name.strip().casefold() for name in header]
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise UsageError(
            f'{path} has no column "{missing[0]}"',
            "keep the first row of the list; give the file that --review has written",
        )
    columns = {name: names.index(name) for name in _NEEDED}
    reviewed: dict[str, ReviewedForm] = {}
    for number, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        form = _read_row(f"{path}, row {number}", cells, columns, number)
        if form is None:
            continue
        other = reviewed.get(form.form)
        if other is not None and other.placeholder != form.placeholder:
            raise UsageError(
                f'{path}, row {number}: "{form.form}" has another placeholder in row {other.row}',
                "give it one placeholder; what is written alike cannot be distinguished",
            )
        reviewed.setdefault(form.form, form)
    if not reviewed:
        raise UsageError(f"{path} has no row with replace = yes", "set yes for what shall be replaced")
    return list(reviewed.values())


def protect(text: str) -> str:
    """Return a text that a spreadsheet shows as it is: itself, or with an apostrophe before it."""
    return f"'{text}" if _SPECIAL.match(text) else text


def unprotect(text: str) -> str:
    """Return the text that was protected."""
    return text[1:] if text.startswith("'") and _SPECIAL.match(text[1:]) else text


def _read_row(
    where: str, cells: Sequence[str], columns: Mapping[str, int], number: int
) -> ReviewedForm | None:
    """Return the form of a row; None if it is not replaced.

    Raises:
        UsageError: when a cell is wrong.
    """
    values = {name: cells[at].strip() if at < len(cells) else "" for name, at in columns.items()}
    answer = values["replace"].casefold()
    if answer in _NO:
        return None
    if answer not in _YES:
        raise UsageError(f'{where}: replace is "{values["replace"]}"', "give yes or no")
    form = " ".join(unprotect(values["form"]).split())
    placeholder = unprotect(values["placeholder"])
    if not has_word(form):
        raise UsageError(f'{where}: the form is "{form}"', "give a word or number, or set replace to no")
    if not placeholder:
        raise UsageError(f"{where}: there is no placeholder", "give one, as [Person 1], or set replace to no")
    forbidden = _FORBIDDEN.search(placeholder)
    if forbidden or len(placeholder) > _MAX_PLACEHOLDER:
        what = repr(forbidden[0]) if forbidden else f"more than {_MAX_PLACEHOLDER} characters"
        raise UsageError(
            f"{where}: the placeholder has {what}",
            'leave it out; " ; , < > & | \\ and line ends would change the structure of files',
        )
    return ReviewedForm(form, placeholder, number)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows and their numbers.

    Raises:
        UsageError: when the file cannot be read, or is no CSV.
    """
    try:
        content = read_small_file(path, _MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "give a readable file") from error
    if content.startswith(b"PK\x03\x04"):
        raise UsageError(f"{path} is no CSV file", "save the list as CSV UTF-8")
    text = _decode(content, path)
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep="):
        text = rest
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            yield number, cells
    except csv.Error as error:
        raise UsageError(
            f"{path}, row {number + 1}: {error}", 'write each quotation mark in a cell twice ("")'
        ) from error


def _decode(content: bytes, path: Path) -> str:
    encoding, length = encodings.split_mark(content)
    body = content[length:]
    for name in (encoding,) if encoding else (encodings.UTF8, "cp1252"):
        try:
            return body.decode(name)
        except UnicodeDecodeError:
            continue
    raise UsageError(f"{path} is neither UTF-8 nor Windows-1252", "save the list as CSV UTF-8")
