"""JSON of any client as Python values, with bounds for its size and errors that quote nothing of it.

Any client can send any bytes, so long JSON is counted before it is decoded (`_check_structure`): the decoder would turn
16 MiB of brackets into a gigabyte of objects without releasing the global interpreter lock.
"""

import json
import re
from typing import Any, Final, NoReturn

from qda_worker.errors import ArgumentInvalid, TooManyTexts
from qda_worker.limits import MAX_TEXTS

# Bytes of JSON that are parsed on the event loop: about a millisecond.
MAX_JSON_BYTES_ON_LOOP: Final = 16 * 2**10
# Brackets, commas and colons outside of strings. The largest valid request, of 10,000 pairs, has about 200,000.
MAX_JSON_TOKENS: Final = 300_000

# A name of a field that may be quoted in an error: no sentence looks like it.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)

_TOKENS: Final = (b"{", b"}", b"[", b"]", b",", b":")
# A string, and everything up to the end of the last string; neither backtracks.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STRINGS: Final = re.compile(rb'(?:[^"]*+"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
# Bytes that are looked at in one step, which holds the global interpreter lock.
_CHUNK_BYTES: Final = 64 * 2**10


def decode_json(data: bytes) -> Any:
    """Return the value of JSON.

    Args:
        data: the JSON. Bytes of a string that are not UTF-8 become halves of surrogate pairs.

    Raises:
        TooManyTexts: when it has more values than a valid request.
        ArgumentInvalid: when it is not JSON.
    """
    if len(data) > MAX_JSON_BYTES_ON_LOOP:
        _check_structure(data)
    try:
        # A byte that is not UTF-8 becomes half of a surrogate pair, which is found with the path of its field.
        text = data.decode("utf-8-sig", "surrogateescape")
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except ArgumentInvalid:
        raise
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
    except ValueError:  # a number with thousands of digits
        place = "a number is too long"
    raise _not_json(place)


def is_name(key: str) -> bool:
    """Return whether a key of an object looks like the name of a field, so that an error may quote it."""
    return _NAME.fullmatch(key) is not None


def _not_json(detail: str) -> ArgumentInvalid:
    return ArgumentInvalid(f"the body is not valid JSON: {detail}", "send one JSON object, encoded as UTF-8")


def _refuse_constant(name: str) -> NoReturn:
    raise _not_json(f"{name} is not a number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _not_json("an object has the same name twice")
    return found


def _check_structure(data: bytes) -> None:
    """Refuse JSON with more values than a valid request. What is not JSON passes.

    Strings are not counted: those within a chunk are removed from it, and of one that goes on the end is searched.

    Raises:
        TooManyTexts: when it has more than `MAX_JSON_TOKENS`.
    """
    if sum(map(data.count, _TOKENS)) <= MAX_JSON_TOKENS:
        return  # not even with those that are in texts
    position = tokens = 0
    while position < len(data):
        chunk = data[position : position + _CHUNK_BYTES]
        complete = _STRINGS.match(chunk)
        end = complete.end() if complete else 0
        quote = chunk.find(b'"', end)
        outside = _STRING.sub(b"", chunk[:end]) + chunk[end : quote if quote >= 0 else None]
        tokens += sum(map(outside.count, _TOKENS))
        if tokens > MAX_JSON_TOKENS:
            raise TooManyTexts(f"the JSON has too many values; a request has at most {MAX_TEXTS} texts")
        position = position + len(chunk) if quote < 0 else _string_end(data, position + quote + 1)


def _string_end(data: bytes, position: int) -> int:
    while True:
        quote = data.find(b'"', position)
        if quote < 0:
            return len(data)
        first = quote
        while data[first - 1] == 0x5C:  # a backslash
            first -= 1
        position = quote + 1
        if (quote - first) % 2 == 0:
            return position
