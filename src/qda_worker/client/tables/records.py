"""A result with everything that is needed to use it alone: its text, where that is from, its models and the options.

Record files (`qda-client --output FILE.jsonl`) have one record on each line. The other formats are derived from records
(`layout`), so that a table written directly and one converted later are equal. `id` is the first key of each line, and
`AnsweredIds` finds it without parsing the rest, because a record with vectors has 20 kB.
"""

import json
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeAlias

from model_cache.errors import UsageError
from model_cache.json_values import Json, to_json_value
from qda_worker.client.readers.segment import Segment
from qda_worker.client.results import (
    AnalysisProvenance,
    DocumentAnalysis,
    Embedding,
    Entities,
    PairScore,
    Provenance,
    Sentiment,
    Syntax,
)

# The JSON value of a record: an object.
Record: TypeAlias = dict[str, Any]

TextResult: TypeAlias = Sentiment | Entities | Syntax | Embedding | DocumentAnalysis | PairScore
Models: TypeAlias = Provenance | AnalysisProvenance | Sequence[Provenance] | None

# Fields of a result that a record leaves out: they would be wrong in a file that several runs have written.
_RUN_FIELDS: Final = ("id", "index", "timings", "provenance")

_FIRST_KEY: Final = re.compile(rb'\{"id": ("(?:[^"\\]|\\.)*"), ')


def to_record(
    segment: Segment,
    result: TextResult,
    provenance: Models,
    options: Mapping[str, object],
) -> Record:
    """Return the record of a result.

    Args:
        segment: the text that was sent.
        result: its result.
        provenance: the models that computed it, each of several if it is not known which; None if unknown.
        options: the command with those of its options that change results.
    """
    value = to_json_value(result)
    assert isinstance(value, dict)
    origin = {
        "source": segment.source,
        "speaker": segment.speaker,
        "start": segment.start,
        "end": segment.end,
        "place": segment.place,
    }
    return {
        "id": segment.id,
        "text": segment.text,
        **{key: to_json_value(each) for key, each in origin.items() if each not in (None, "")},
        **{key: each for key, each in value.items() if key not in _RUN_FIELDS},
        "provenance": _provenance_value(provenance),
        "options": dict(options),
    }


@lru_cache(maxsize=16)
def _provenance_value(provenance: Models) -> Json:
    """Return the JSON form, which all records of a run share."""
    return to_json_value(provenance)


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file.

    Raises:
        UsageError: when the file cannot be read, or a line of it is no record.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield _parse(line, number, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "give a readable file") from error


def provenances(record: Record) -> list[dict[str, Any]]:
    """Return the models that computed a record, in the order sentiment, entities, syntax, embeddings."""
    value = record.get("provenance")
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return []
    if "embeddings" not in value:
        return [value]
    parts = [*map(value.get, ("sentiment", "entities", "syntax")), *(value.get("embeddings") or [])]
    return [part for part in parts if isinstance(part, dict)]


def record_id(line: bytes) -> str | None:
    """Return the id of a line of a record file; None if the line is no record.

    The rest of the line is not parsed: it is complete if the line ends as one.
    """
    match = _FIRST_KEY.match(line)
    if match is None or not line.endswith(b"}\n"):
        return None
    try:
        value: str = json.loads(match[1])
    except ValueError:
        return None
    return value


class AnsweredIds:
    """The ids of the texts that have a result, in nine bytes each. An id may be there several times.

    The ids are compared by hashes of 64 bits: among a million ids, two have the same with a probability of 3e-8.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        """Read the ids."""
        self._hashes = array("Q", sorted(map(_hash, ids)))
        self._used = bytearray(len(self._hashes))
        self._next: dict[int, int] = {}  # position of the next one of ids that are there several times

    def __len__(self) -> int:
        return len(self._hashes)

    def take(self, identifier: str) -> bool:
        """Return whether the id is there and was not taken as often as it is there; take it."""
        wanted = _hash(identifier)
        position = self._next.get(wanted, -1)
        if position < 0:
            position = bisect_left(self._hashes, wanted)
        if not self._is_free(position, wanted):
            return False
        self._used[position] = 1
        if self._is_free(position + 1, wanted):
            self._next[wanted] = position + 1
        return True

    def _is_free(self, position: int, wanted: int) -> bool:
        in_range = position < len(self._hashes)
        return in_range and self._hashes[position] == wanted and not self._used[position]


def _hash(identifier: str) -> int:
    return int.from_bytes(blake2b(identifier.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def _parse(line: bytes, number: int, path: Path) -> Record:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or "id" not in value:
        if line.startswith(b'{"id": ') and not line.endswith(b"\n"):
            raise UsageError(
                f"{path}, line {number}: a run was interrupted here",
                "complete it with --resume, or remove the last line",
            )
        raise UsageError(
            f"{path}, line {number}: found no result", "give a file that qda-client --output has written"
        )
    return value
