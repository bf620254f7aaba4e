"""Reads the texts of a file or of stdin one by one, so that an input of any length can be streamed.

The input is decoded as UTF-8 line by line; an error names the byte and the line. A byte order mark is skipped.
"""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from model_cache.errors import UsageError
from qda_worker.client.cli.options import Input
from qda_worker.client.texts import Text

_BOM: Final = b"\xef\xbb\xbf"


def read_texts(file: str, stdin: BinaryIO, *, kind: Input, whole: bool) -> Iterator[Text]:
    """Yield the texts of a file. The id of a line is its number, that of a whole file its name.

    Args:
        file: its path; `-` means `stdin`.
        stdin: the program's stdin.
        kind: the file's format.
        whole: whether the whole file is one text.

    Raises:
        UsageError: when the file cannot be read, is not UTF-8, or a line has a wrong format.
    """
    name = "stdin" if file == "-" else file
    try:
        with _open(file, stdin) as stream:
            if whole:
                yield Text(_decode(stream.read().removeprefix(_BOM), 0, name), id=_short_id(name))
                return
            for number, line in _lines(stream, name):
                yield Text(line, id=str(number)) if kind == Input.LINES else _from_json(line, number, name)
    except OSError as error:
        raise UsageError(
            f"{name} cannot be read: {error.strerror}", "give a readable file, or - for stdin"
        ) from error


def _open(file: str, stdin: BinaryIO) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(stdin) if file == "-" else Path(file).open("rb")


def _lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Yield number, from 1, and content of each line that is not blank."""
    offset = 0
    for number, line in enumerate(stream, start=1):
        start = len(_BOM) if number == 1 and line.startswith(_BOM) else 0
        content = _decode(line[start:], offset + start, name, number).rstrip("\r\n")
        offset += len(line)
        if content.strip():
            yield number, content


def _decode(content: bytes, offset: int, name: str, line: int = 0) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        place = f", line {line}" if line else ""
        raise UsageError(
            f"{name} is not UTF-8: byte {offset + error.start}{place} is 0x{content[error.start]:02x}",
            "convert it first: iconv -f WINDOWS-1252 -t UTF-8",
        ) from error


def _from_json(line: str, number: int, name: str) -> Text:
    try:
        value: Any = json.loads(line)
    except ValueError as error:
        raise _format_error(f"no JSON ({error})", number, name) from error
    if isinstance(value, str):
        return Text(value, id=str(number))
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise _format_error('neither a string nor an object with a string "text"', number, name)
    identifier, language = value.get("id", number), value.get("language", "")
    if not isinstance(identifier, str | int) or not isinstance(language, str):
        raise _format_error('an object whose "id" or "language" is no string', number, name)
    return Text(value["text"], id=str(identifier), language=language)


def _format_error(found: str, number: int, name: str) -> UsageError:
    return UsageError(f"{name}, line {number}: found {found}", 'give {"id": "…", "text": "…"} on each line')


def _short_id(name: str) -> str:
    """Return a file's name as an id, which may have at most 256 bytes."""
    return Path(name).name.encode()[-256:].decode(errors="ignore")
