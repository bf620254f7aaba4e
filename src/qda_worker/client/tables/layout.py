"""The columns of the tables, and the rows of a record. docs/results.md documents them.

Each table begins with the text and where it is from, and ends with the error, the models and the options, so that a
table is sufficient to cite what computed it. Between them are the columns of the command.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from model_cache.errors import UsageError
from qda_worker.client.tables.records import Record, provenances

Cell: TypeAlias = str | int | float | list[float] | None


class Kind(Enum):
    """The type of the cells of a column; each may be empty."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    VECTOR = "vector"
    MATRIX = "matrix"  # of data frames only


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table, and how a record is shown in them.

    Attributes:
        columns: all columns.
        rows: yields the rows of a record, at least one, with a cell for each column.
        counter: position of the column that numbers the rows of one text; None if each text has one row.
        first_numbers: numbers in that column of the first row of a text.
    """

    columns: tuple[Column, ...]
    rows: Callable[[Record], Iterator[list[Cell]]]
    counter: int | None = None
    first_numbers: frozenset[str] = frozenset()


_FIRST: Final = (
    Column("id"),
    Column("source"),
    Column("speaker"),
    Column("time_start", Kind.NUMBER),
    Column("time_end", Kind.NUMBER),
    Column("text"),
)
_LAST: Final = (
    Column("error"),
    Column("model"),
    Column("model_source"),
    Column("model_revision"),
    Column("precision"),
    Column("worker_version"),
    Column("options"),
)
_SCORES: Final = (
    Column("sentiment"),
    Column("positive", Kind.NUMBER),
    Column("negative", Kind.NUMBER),
    Column("neutral", Kind.NUMBER),
)
_USAGE: Final = (Column("tokens", Kind.INTEGER), Column("used_tokens", Kind.INTEGER))
_SENTIMENT: Final = (
    Column("sentence_number", Kind.INTEGER),
    Column("sentence_start", Kind.INTEGER),
    Column("sentence_end", Kind.INTEGER),
    *_SCORES,
    *_USAGE,
)
_ENTITIES: Final = (
    Column("entity_number", Kind.INTEGER),
    Column("entity"),
    Column("label"),
    Column("model_label"),
    Column("entity_start", Kind.INTEGER),
    Column("entity_end", Kind.INTEGER),
)
_SYNTAX: Final = (
    Column("token_number", Kind.INTEGER),
    Column("sentence_number", Kind.INTEGER),
    Column("token"),
    Column("lemma"),
    Column("universal_part_of_speech"),
    Column("fine_part_of_speech"),
    Column("morphology"),
    Column("head_number", Kind.INTEGER),
    Column("dependency_label"),
    Column("entity_label"),
    Column("entity_begins", Kind.INTEGER),
    Column("token_start", Kind.INTEGER),
    Column("token_end", Kind.INTEGER),
    Column("space_after", Kind.INTEGER),
)
_EMBEDDING: Final = (
    *_USAGE,
    Column("dimensions", Kind.INTEGER),
    Column("vector", Kind.VECTOR),
    Column("sparse"),
)
_SCORED_PAIR: Final = (
    Column("similar_text"),
    Column("score", Kind.NUMBER),
    *_USAGE,
    Column("similar_tokens", Kind.INTEGER),
    Column("similar_used_tokens", Kind.INTEGER),
)
_COUNTER: Final = len(_FIRST)
# The encoding of each unit of positions but code points, and its bytes for one.
_ENCODINGS: Final[Mapping[str, tuple[str, int]]] = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2)}
_PAIRS: Final = (
    Column("score", Kind.NUMBER),
    Column("id"),
    Column("similar_id"),
    Column("text"),
    Column("similar_text"),
)


def layout_of(options: Mapping[str, Any]) -> Layout:
    """Return the layout of the records with these options.

    Raises:
        UsageError: when a table cannot hold them.
    """
    command = options.get("command")
    if command == "sentiment":
        return Layout(_columns(_SENTIMENT), _sentiment_rows, _COUNTER, frozenset({"", "0"}))
    if command == "entities":
        return Layout(_columns(_ENTITIES), _entity_rows, _COUNTER, frozenset({"", "0", "1"}))
    if command == "syntax":
        return Layout(_columns(_SYNTAX), _syntax_rows, _COUNTER, frozenset({"", "0", "1"}))
    if command == "embed":
        if "multi-vector" in options.get("kinds", ()):
            raise UsageError("a table cannot hold multi-vectors", "write them as jsonl")
        return Layout(_columns(_EMBEDDING), _embedding_rows)
    if command == "analyze":
        return _analysis_layout(tasks_of(options))
    if command == "pairs":
        return Layout(_columns(_SCORED_PAIR), _scored_pair_rows)
    if command == "paraphrases":
        return Layout(_PAIRS, _pair_rows)
    raise UsageError(
        f"found results of the command {command!r}, which have no table",
        "give results of sentiment, entities, syntax, embed or analyze",
    )


def tasks_of(options: Mapping[str, Any]) -> list[str]:
    """Return the tasks of an analysis, without their models."""
    return [str(task).partition("=")[0] for task in options.get("tasks", ())]


def describe_options(options: Mapping[str, Any]) -> str:
    """Return options as `name=value` on one line; the command is the first word."""
    parts = [str(options.get("command", ""))]
    for name, value in options.items():
        if name != "command" and value not in (None, "", False, [], 0):
            shown = ",".join(map(str, value)) if isinstance(value, list) else value
            parts.append(name if value is True else f"{name}={shown}")
    return " ".join(parts)


def _columns(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    return (*_FIRST, *columns, *_LAST)


def _first(record: Record, text: str | None = None) -> list[Cell]:
    shown = record.get("text", "") if text is None else text
    return [
        record.get("id", ""),
        record.get("source"),
        record.get("speaker"),
        record.get("start"),
        record.get("end"),
        shown,
    ]


def _last(record: Record, *parts: Mapping[str, Any]) -> list[Cell]:
    """Return the last cells; `parts` are the results of tasks, which may have errors of their own."""
    errors = [error for error in (each.get("error") for each in (record, *parts)) if error]
    error = "; ".join(f"{each.get('reason')}: {each.get('message')}" for each in errors) or None
    models = provenances(record)

    def joined(name: str) -> str | None:
        return "; ".join(str(each.get(name, "")) for each in models) or None

    names = ("model", "source", "revision", "precision", "worker_version")
    return [error, *map(joined, names), describe_options(record.get("options") or {})]


def _score_cells(result: Mapping[str, Any]) -> list[Cell]:
    scores = result.get("probabilities") or {}
    return [result.get("label"), *(scores.get(name) for name in ("positive", "negative", "neutral"))]


def _usage_cells(result: Mapping[str, Any], field: str = "usage") -> list[Cell]:
    usage = result.get(field) or {}
    return [usage.get("tokens"), usage.get("used_tokens")]


def _sentiment_rows(record: Record) -> Iterator[list[Cell]]:
    """Yield a row for the text, and one for each of its sentences."""
    last = _last(record)
    yield [*_first(record), 0, None, None, *_score_cells(record), *_usage_cells(record), *last]
    cutter = Cutter(record.get("text", ""), record.get("offsets"))
    for number, sentence in enumerate(record.get("sentences") or (), start=1):
        start, end = sentence["start"], sentence["end"]
        text = cutter.cut(start, end)
        scores = _score_cells(sentence)
        yield [*_first(record, text), number, start, end, *scores, *_usage_cells(sentence), *last]


def _entity_rows(record: Record) -> Iterator[list[Cell]]:
    """Yield a row for each entity; one with the number 0 for a text without any."""
    first, last = _first(record), _last(record)
    entities = record.get("entities") or ()
    if not entities:
        yield [*first, 0, None, None, None, None, None, *last]
    for number, each in enumerate(entities, start=1):
        cells = [each["text"], each["label"], each["model_label"], each["start"], each["end"]]
        yield [*first, number, *cells, *last]


def _syntax_rows(record: Record) -> Iterator[list[Cell]]:
    """Yield a row for each token, with the text of its sentence; one with the number 0 for a text without any."""
    last = _last(record)
    tokens = record.get("tokens") or ()
    if not tokens:
        yield [*_first(record), 0, *[None] * (len(_SYNTAX) - 1), *last]
        return
    sentences = [(each["first_token"], each["start"], each["end"]) for each in record.get("sentences") or ()]
    number = 0
    first = _first(record, "")
    cutter = Cutter(record.get("text", ""), record.get("offsets"))
    for position, token in enumerate(tokens):
        if number < len(sentences) and sentences[number][0] == position:
            _, start, end = sentences[number]
            first = _first(record, cutter.cut(start, end))
            number += 1
        head = token.get("head")
        yield [
            *first,
            position + 1,
            number or None,
            token["text"],
            token.get("lemma") or None,
            token.get("universal_part_of_speech") or None,
            token.get("fine_part_of_speech") or None,
            token.get("morphology") or None,
            None if head is None else head + 1,
            token.get("dependency_label") or None,
            token.get("entity_label") or None,
            int(bool(token.get("entity_begins"))),
            token["start"],
            token["end"],
            int(bool(token["space_after"])),
            *last,
        ]


def _embedding_rows(record: Record) -> Iterator[list[Cell]]:
    yield [*_first(record), *_usage_cells(record), *_vector_cells(record), *_last(record)]


def _vector_cells(result: Mapping[str, Any]) -> list[Cell]:
    dense, sparse = result.get("dense"), result.get("sparse")
    weights = None
    if sparse is not None:
        weights = json.dumps(dict(zip(sparse["tokens"], sparse["weights"], strict=True)), ensure_ascii=False)
    return [None if dense is None else len(dense), dense, weights]


def _analysis_layout(tasks: list[str]) -> Layout:
    columns: list[Column] = []
    if "sentiment" in tasks:
        columns += [*_SCORES, *_usage_columns("sentiment")]
    if "entities" in tasks:
        columns += [Column("entities"), *_usage_columns("entities")]
    if "syntax" in tasks:
        columns += [Column("sentence_count", Kind.INTEGER), Column("token_count", Kind.INTEGER)]
        columns += _usage_columns("syntax")
    count = tasks.count("embedding")
    for number in range(1, count + 1):
        name = f"vector_{number}" if number > 1 else "vector"
        columns += [Column(name, Kind.VECTOR), *_usage_columns(name)]

    def rows(record: Record) -> Iterator[list[Cell]]:
        sentiment, entities = record.get("sentiment") or {}, record.get("entities") or {}
        syntax = record.get("syntax") or {}
        embeddings = record.get("embeddings") or [{}] * count
        cells: list[Cell] = []
        if "sentiment" in tasks:
            cells += [*_score_cells(sentiment), *_usage_cells(sentiment)]
        if "entities" in tasks:
            found = entities.get("entities") or ()
            cells.append("; ".join(f"{each['text']} [{each['label']}]" for each in found) or None)
            cells += _usage_cells(entities)
        if "syntax" in tasks:
            cells += [len(syntax[name]) if name in syntax else None for name in ("sentences", "tokens")]
            cells += _usage_cells(syntax)
        for each in embeddings:
            cells += [each.get("dense"), *_usage_cells(each)]
        yield [*_first(record), *cells, *_last(record, sentiment, entities, syntax, *embeddings)]

    return Layout(_columns(tuple(columns)), rows)


def _usage_columns(task: str) -> list[Column]:
    """Return the columns of `_usage_cells` for a task of `analyze`: each has a model with a limit of its own."""
    return [Column(f"{task}_{column.name}", column.kind) for column in _USAGE]


def _scored_pair_rows(record: Record) -> Iterator[list[Cell]]:
    usage = [*_usage_cells(record, "first_usage"), *_usage_cells(record, "second_usage")]
    yield [*_first(record), record.get("similar_text"), record.get("score"), *usage, *_last(record)]


def _pair_rows(record: Record) -> Iterator[list[Cell]]:
    first, second = record["first"], record["second"]
    yield [record["score"], first["id"], second["id"], first["text"], second["text"]]


class Cutter:
    """Cuts parts out of a text, by positions in the unit `code-points`, `utf-16` or `utf-8`.

    The text is encoded once, so that a text with many parts takes linear time.
    """

    def __init__(self, text: str, unit: str | None) -> None:
        """Encode the text in the unit."""
        encoding, self._width = _ENCODINGS.get(unit or "", ("", 0))
        self._text = text
        self._encoding = encoding
        self._units = text.encode(encoding, errors="surrogatepass") if encoding else b""

    def cut(self, start: int, end: int) -> str:
        """Return the part between two positions."""
        if not self._encoding:
            return self._text[start:end]
        units = self._units[self._width * start : self._width * end]
        return units.decode(self._encoding, errors="replace")


def without_half_characters(cell: Cell) -> Cell:
    """Return a cell without halves of surrogate pairs, which are no Unicode text."""
    return cell.encode(errors="replace").decode() if isinstance(cell, str) else cell
