"""Reads the texts of a file or of stdin, one by one, so that an input of any length can be streamed."""

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
    """The texts of `file` (`-`: of `stdin`). Lines have their number as id, a whole file its name.

    Raises:
        UsageError: the file cannot be read, is not UTF-8 (the byte is named), or a line is not what it should be.
    """
    name = "stdin" if file == "-" else file
    try:
        with _opened(file, stdin) as stream:
            if whole:
                yield Text(_decoded(stream.read().removeprefix(_BOM), 0, name), id=_short_id(name))
                return
            for number, line in _lines(stream, name):
                yield Text(line, id=str(number)) if kind == Input.LINES else _from_json(line, number, name)
    except OSError as error:
        raise UsageError(
            f"{name} cannot be read: {error.strerror}", "name a readable file, or - for stdin"
        ) from error


def _opened(file: str, stdin: BinaryIO) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(stdin) if file == "-" else Path(file).open("rb")


def _lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Numbers, from 1, and contents of the lines that are not blank."""
    offset = 0
    for number, line in enumerate(stream, start=1):
        start = len(_BOM) if number == 1 and line.startswith(_BOM) else 0
        content = _decoded(line[start:], offset + start, name, number).rstrip("\r\n")
        offset += len(line)
        if content.strip():
            yield number, content


def _decoded(content: bytes, offset: int, name: str, line: int = 0) -> str:
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
        found: Any = json.loads(line)
    except ValueError as error:
        raise _not_a_text(f"no JSON ({error})", number, name) from error
    if isinstance(found, str):
        return Text(found, id=str(number))
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise _not_a_text('neither a string nor an object with a string "text"', number, name)
    identifier, language = found.get("id", number), found.get("language", "")
    if not isinstance(identifier, str | int) or not isinstance(language, str):
        raise _not_a_text('an object whose "id" or "language" is no string', number, name)
    return Text(found["text"], id=str(identifier), language=language)


def _not_a_text(what: str, number: int, name: str) -> UsageError:
    return UsageError(f"{name}, line {number}: found {what}", 'give {"id": "…", "text": "…"} a line')


def _short_id(name: str) -> str:
    """A file's name as an id, which has at most 256 bytes."""
    return Path(name).name.encode()[-256:].decode(errors="ignore")
