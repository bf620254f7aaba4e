"""Find out in which encoding a text file is, and decode it piece by piece.

A byte order mark decides: UTF-8, UTF-16 and UTF-32 with one are read. Without one a file is UTF-8, unless the user
names another encoding. Nothing else is guessed for reading, because a wrong guess gives wrong texts without an error. A
guess only helps to name the remedy.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final

from model_cache.errors import UsageError

UTF8: Final = "utf-8"

# Byte order marks; that of UTF-32 begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Names that Windows programs and R show, and Python does not know.
_ALIASES: Final = {
    "ansi": "cp1252",
    "unicode": "utf-16",
    "utf8-bom": UTF8,
    "ucs-2le": "utf-16-le",
    "macroman": "mac-roman",
}

# Python's own codecs, which are no encodings of files.
_NO_FILE_ENCODINGS: Final = frozenset(
    {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "mbcs", "oem"}
)

# Without a byte order, files in these encodings are little-endian if they have no mark (as on Windows).
_DEFAULT_ORDER: Final = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}

# Encodings that a file without a mark is compared with for the remedy, best known first, and their names for iconv.
_CANDIDATES: Final = {
    "windows-1252": "WINDOWS-1252",
    "mac-roman": "MACINTOSH",
    "cp850": "CP850",
    "latin-1": "ISO-8859-1",
}
_SINGLE_BYTE: Final = frozenset({"cp1252", "iso8859-1", "iso8859-15", "mac-roman", "cp850", "cp437"})

# Control characters of ISO 8859, where Windows-1252 has quotation marks and dashes. No text has them.
_C1_CONTROL: Final = re.compile("[\x80-\x9f]")

_GERMAN_LETTERS: Final = "äöüÄÖÜß"

# Lone surrogates in UTF-8, which are accepted: they spoil one text only.
_HALF_CHARACTERS: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")

# Control characters that texts do not have; tab, line ends, form feed and escape do occur.
_BINARY: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_CONTROL: Final = re.compile(_BINARY.pattern.decode("latin-1"))

# Share of such bytes from which on a file is not a text (that of `perl -T`). Fewer are damage in single lines.
_BINARY_SHARE: Final = 0.3


def parse_encoding(name: str) -> str:
    """Return Python's name of an encoding.

    Raises:
        UsageError: when it is unknown.
    """
    given = name.strip().lower().replace("_", "-")
    try:
        info = codecs.lookup(_ALIASES.get(given, given))
    except (LookupError, ValueError):  # ValueError: a name with a NUL
        info = None
    found = info.name.replace("_", "-") if info is not None else ""
    if info is None or not getattr(info, "_is_text_encoding", True) or found in _NO_FILE_ENCODINGS:
        raise UsageError(
            f'--encoding: found "{name}"',
            "give the encoding of the file: utf-8, utf-16, utf-16-le, windows-1252, latin-1, mac-roman, cp850 …",
        )
    return UTF8 if found == "utf-8-sig" else found


def split_mark(head: bytes) -> tuple[str, int]:
    """Return the encoding that a byte order mark says, and its length; empty and 0 if there is none."""
    return next(((encoding, len(mark)) for mark, encoding in _MARKS if head.startswith(mark)), ("", 0))


def may_be_mark(head: bytes) -> bool:
    """Return whether a few bytes are the beginning of a byte order mark that has more."""
    return any(len(head) < len(mark) and mark.startswith(head) for mark, _ in _MARKS)


def choose_encoding(head: bytes, given: str, name: str) -> str:
    """Return the encoding in which to read a file.

    Args:
        head: its first bytes.
        given: the encoding that the user named; empty: none.
        name: the file's name, for errors.

    Raises:
        UsageError: when the file is in another encoding than the one given, or needs one.
    """
    marked, length = split_mark(head)
    if marked:
        if given and given not in (marked, marked[:6]):
            raise UsageError(
                f"{name} begins with the byte order mark of {marked.upper()}, and --encoding says {given}",
                "leave --encoding out; files with a byte order mark are recognized",
            )
        return marked
    unmarked = _guess_wide(head[length:])
    if given in (
        "",
        UTF8,
        *_SINGLE_BYTE,
    ):  # else NULs are a part of the encoding, or it is checked when it is decoded
        if unmarked:
            says = f", and --encoding says {given}" if given else ""
            raise UsageError(
                f"{name} is {unmarked.upper()} without a byte order mark{says}",
                f"add --encoding {unmarked}, or convert it first: iconv -f {_iconv_name(unmarked)} -t UTF-8",
            )
        if _is_binary(head):
            raise UsageError(
                f"{name} is not a text file: it holds bytes that texts do not have", "give a text file"
            )
    if not given:
        return UTF8
    return (unmarked if unmarked[:6] == given else "") or _DEFAULT_ORDER.get(given, given)


def decode_chunks(chunks: Iterable[bytes], encoding: str, name: str) -> Iterator[str]:
    """Decode a file piece by piece. Half characters of UTF-16 and UTF-32 are kept, because they spoil one text only.

    Raises:
        UsageError: when bytes have no meaning in this encoding.
    """
    errors = "surrogatepass" if encoding.startswith("utf-") else "strict"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    utf8_check = _Utf8Check(name, encoding)
    line = 1
    try:
        for chunk in chunks:
            utf8_check.add(chunk)
            text = decoder.decode(chunk)
            if encoding.startswith("iso8859-") and (control := _C1_CONTROL.search(text)):
                wrong_line = line + text.count("\n", 0, control.start())
                raise UsageError(
                    f"{name} is not {encoding.upper()}: the byte {ord(control[0]):02x} on line {wrong_line} is a "
                    "control character in it",
                    "it may be windows-1252: add --encoding windows-1252 and check that the letters are right",
                )
            line += text.count("\n")
            yield text
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        found = error.object[error.start : error.start + 4].hex(" ")
        raise UsageError(
            f"{name} is not {encoding.upper()}: the bytes {found} on line {line} or soon after have no meaning in it "
            f"({error.reason})",
            "give the right encoding (--encoding NAME); if it is right, the file is damaged or not complete",
        ) from error


def not_utf8_remedy(sample: bytes) -> str:
    """Return what to do with a file that is not UTF-8.

    Args:
        sample: a part of it with bytes that are not UTF-8.
    """
    if _BINARY.search(sample):
        return "give a text file; this one holds bytes that texts do not have"
    encoding = _guess_single_byte(sample)
    also = " (or latin-1)" if encoding == "windows-1252" else ""
    return (
        f"it may be {encoding}{also}: add --encoding {encoding} and check that the letters are right, or "
        f"convert it first: iconv -f {_CANDIDATES[encoding]} -t UTF-8"
    )


def is_damaged_utf8(sample: bytes) -> bool:
    """Return whether bytes are UTF-8 with few errors, and not another encoding."""
    text = _HALF_CHARACTERS.sub(b"", sample).decode(errors="surrogateescape")
    wrong = sum("\udc80" <= char <= "\udcff" for char in text)
    return sum(char > "\x7f" for char in text) - wrong >= wrong


def _is_binary(head: bytes) -> bool:
    """Return whether a file is no text: it has many control characters, and not only in a smaller part of its lines."""
    if len(_BINARY.findall(head)) <= _BINARY_SHARE * len(head):
        return False
    lines = [line for line in head.splitlines() if line.strip()]
    return 2 * sum(_BINARY.search(line) is not None for line in lines) >= len(lines)


def _iconv_name(encoding: str) -> str:
    """Return UTF-16 or UTF-32 as iconv writes it: `UTF-16LE`."""
    family, _, order = encoding.upper().rpartition("-")
    return family + order


def _guess_wide(head: bytes) -> str:
    """Return UTF-16 or UTF-32 with its byte order if a file is such a text without a mark, else nothing."""
    encoding = _wide_by_zeros(head)
    if not encoding or _CONTROL.search(head.decode(encoding, errors="ignore")):
        return ""
    return encoding


def _wide_by_zeros(head: bytes) -> str:
    """Return UTF-16 or UTF-32 with its byte order if the NUL bytes of a file are where theirs are, else nothing."""
    size = len(head) // 4
    if size >= 2:
        counts = [head[place : 4 * size : 4].count(0) for place in range(4)]
        if counts[3] == size and counts[2] > 0.9 * size and counts[0] < 0.1 * size:
            return "utf-32-le"
        if counts[0] == size and counts[1] > 0.9 * size and counts[3] < 0.1 * size:
            return "utf-32-be"
    size = len(head) // 2
    even, odd = (head[place : 2 * size : 2].count(0) for place in (0, 1))
    if odd >= 2 and odd > 0.1 * size and even < 0.1 * odd:
        return "utf-16-le"
    if even >= 2 and even > 0.1 * size and odd < 0.1 * even:
        return "utf-16-be"
    return ""


class _Utf8Check:
    """Finds out at the first letters outside ASCII whether a file is UTF-8 and not the encoding that the user gave.

    No text in a single-byte encoding begins with letters that are valid UTF-8 by chance.
    """

    def __init__(self, name: str, encoding: str) -> None:
        self._name = name
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(UTF8)() if encoding in _SINGLE_BYTE else None

    def add(self, chunk: bytes) -> None:
        """Check the next part of the file.

        Raises:
            UsageError: when the file is UTF-8.
        """
        if self._decoder is None:
            return
        try:
            text = self._decoder.decode(chunk)
        except UnicodeDecodeError:
            self._decoder = None
            return
        if not text.isascii():
            raise UsageError(
                f"{self._name} is UTF-8, and --encoding says {self._encoding}: its letters would be read wrongly",
                "leave --encoding out",
            )


def _guess_single_byte(sample: bytes) -> str:
    """Return the encoding in which most of the other bytes are German letters; Windows-1252 if in doubt."""
    best, best_count = "", -1
    for encoding in _CANDIDATES:
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError:
            continue
        count = sum(char in _GERMAN_LETTERS for char in text)
        if count > best_count:
            best, best_count = encoding, count
    return best
