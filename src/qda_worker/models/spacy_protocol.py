"""What the worker and the process of a spaCy pipeline say to each other.

Frames over standard input and output, in both directions. A frame is its length as four bytes, big-endian,
and then JSON in UTF-8. If the JSON object has `body`, that many bytes follow.

- First frame to the worker: `{"ready": {"labels", "max_length", "spacy", "local", "components", "layers"}}`, or
  `{"unusable": {"message", "remedy"}}`, after which the process exits with status 1.
- Each request `{"passages": [{"text", "start", "end", "layers", "table"}, ...]}` gets one response, in order:
  `{"found": [{"entities": [[start, end, label], ...], "tokens", "table": [first, end]}, ...], "strings", "body"}`, or
  `{"error": NAME}` with the type of the exception if spaCy raised one. The message is left out because it may contain
  text of the user. The body has the tokens of all passages that asked for a table: int32 [columns, tokens], little-
  endian (`token_columns`); `table` is the place of a passage in it.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

import numpy as np

from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.models.token_columns import Column, Table

# Length of a frame: unsigned, four bytes, big-endian.
_LENGTH: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """Facts about a loaded pipeline.

    Attributes:
        labels: entity labels, sorted.
        max_length: longest text in code points.
        spacy: version of spaCy.
        local: whether the results at a place depend only on the words around it, or on the sentence.
        components: names of the components, in their order.
        layers: the layers that it assigns, each with the components that it needs.
    """

    labels: list[str]
    max_length: int
    spacy: str
    local: bool
    components: list[str]
    layers: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, or a part of one, in a request.

    Attributes:
        text: what is read.
        start: first code point of the part that counts; what is before is context.
        end: end of the part that counts; what is behind is context.
        layers: what to find (`spacy_components`); empty: only tokens.
        table: whether to return all tokens of the text with these layers, not only the entities and a count.
    """

    text: str
    start: int
    end: int
    layers: Sequence[str] = (SyntaxLayer.ENTITIES,)
    table: bool = False


@dataclass(frozen=True, slots=True)
class PassageResult:
    """The result for one passage. Entities and the number of tokens are limited to the part that counts.

    Attributes:
        entities: (start, end, label) in code points of the passage's text; empty with a table.
        tokens: number of tokens, by spaCy's tokenizer.
        table: int32 [columns, tokens], if it was asked for: all tokens of the text.
        strings: those of the table, which the passages of a request share.
    """

    entities: Sequence[tuple[int, int, str]]
    tokens: int
    table: Table | None = field(default=None, compare=False)  # arrays do not compare to one truth value
    strings: Sequence[str] = ()


def write_frame(stream: IO[bytes], message: dict[str, Any], body: bytes = b"") -> None:
    """Write one frame, and the bytes that belong to it.

    Raises:
        BrokenPipeError: when the other side has closed the stream.
    """
    if body:
        message = {**message, "body": len(body)}
    head = json.dumps(message, ensure_ascii=False).encode(errors="surrogatepass")
    stream.write(_LENGTH.pack(len(head)) + head)
    if body:
        stream.write(body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read one frame, whose `body` is then its bytes; return None at the end of the stream, also within a frame."""
    prefix = stream.read(_LENGTH.size)
    if len(prefix) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(prefix)
    head = stream.read(length)
    if len(head) < length:
        return None
    message: dict[str, Any] = json.loads(head)
    if "body" in message:
        length, message["body"] = message["body"], stream.read(message["body"])
        if len(message["body"]) < length:
            return None
    return message


def encode_results(results: Sequence[PassageResult]) -> tuple[dict[str, Any], bytes]:
    """Return a response and its body."""
    found: list[dict[str, Any]] = []
    tables: list[Any] = []
    strings: Sequence[str] = ()
    place = 0
    for result in results:
        answer: dict[str, Any] = {"entities": result.entities, "tokens": result.tokens}
        if result.table is not None:
            strings = result.strings
            tables.append(result.table)
            answer["table"] = [place, place + result.table.shape[1]]
            place += result.table.shape[1]
        found.append(answer)
    if not tables:
        return {"found": found}, b""
    body = np.concatenate(tables, axis=1).astype("<i4", copy=False).tobytes()
    return {"found": found, "strings": strings}, body


def decode_results(answer: dict[str, Any]) -> list[PassageResult]:
    """Return the results of a response."""
    body, strings = answer.get("body"), answer.get("strings", ())
    joined = None if body is None else np.frombuffer(body, "<i4").reshape(len(Column), -1)
    results = []
    for each in answer["found"]:
        entities = [(start, end, label) for start, end, label in each["entities"]]
        if joined is None or "table" not in each:
            results.append(PassageResult(entities, each["tokens"]))
        else:
            start, end = each["table"]
            results.append(PassageResult(entities, each["tokens"], joined[:, start:end], strings))
    return results
