"""Format results as tables for people. No I/O.

JSON needs no code here: the results are dataclasses, which `model_cache.json_values` encodes.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from model_cache.explanations import hint_line
from model_cache.formatting import printable
from qda_worker.client.enums import LongTextOutcome
from qda_worker.client.results import (
    DocumentAnalysis,
    Embedding,
    Entities,
    ItemError,
    Paraphrases,
    Provenance,
    Sentiment,
    Syntax,
    Usage,
    Vector,
)
from qda_worker.client.status import CacheStatus, Models
from qda_worker.client.tables.layout import Cutter
from qda_worker.client.texts import Text

Row: TypeAlias = Sequence[str]

SENTIMENT_COLUMNS: Final = ("ID", "SENTIMENT", "POSITIVE", "NEGATIVE", "NEUTRAL", "TEXT")
ENTITY_COLUMNS: Final = ("ID", "START", "END", "LABEL", "ENTITY")
SYNTAX_COLUMNS: Final = (
    "ID", "TOKEN", "LEMMA", "POS", "TAG", "HEAD", "DEPENDENCY", "ENTITY", "MORPHOLOGY",
)  # fmt: skip
EMBEDDING_COLUMNS: Final = ("ID", "DIMENSIONS", "VECTOR")
PARAPHRASE_COLUMNS: Final = ("SCORE", "ID", "ID", "TEXT", "SIMILAR TEXT")

# Tokens of a sparse vector in its row.
_SPARSE_TOKENS: Final = 6


def format_table(columns: Row, rows: Sequence[Row]) -> str:
    """Return a table with aligned columns; the last column is not padded.

    Args:
        columns: the names of the columns.
        rows: one cell for each column.
    """
    return Table(columns).add(rows)


class Table:
    """A table whose rows arrive in parts. A column grows with its widest cell so far."""

    def __init__(self, columns: Row) -> None:
        """Begin with the names of the columns."""
        self._names: list[Row] = [columns]
        self._widths = [_width(name) for name in columns[:-1]]

    def add(self, rows: Sequence[Row]) -> str:
        """Return the lines of further rows, the first time with the names.

        The last column is not padded; control characters are escaped.
        """
        rows = [[printable(cell) for cell in row] for row in rows]
        table, self._names = [*self._names, *rows], []
        for column, width in enumerate(self._widths):
            self._widths[column] = max([width, *(_width(row[column]) for row in table)])
        return "\n".join(
            "  ".join(
                [
                    *(
                        cell + " " * (width - _width(cell))
                        for cell, width in zip(row, self._widths, strict=False)
                    ),
                    row[-1],
                ]
            )
            for row in table
        )


def sentiment_rows(result: Sentiment, text: Text) -> Iterator[Row]:
    """Yield one row for the text, and one for each of its sentences."""
    if result.label is None or result.probabilities is None:
        yield (text.id, "-", "-", "-", "-", _error_cell(result.error))
        return
    scores = result.probabilities
    yield (
        text.id,
        str(result.label),
        *(f"{score:.3f}" for score in (scores.positive, scores.negative, scores.neutral)),
        shorten(text.content) + _length_note(result.usage),
    )
    cutter = Cutter(text.content, result.offsets)
    for sentence in result.sentences:
        scores = sentence.probabilities
        yield (
            f"{text.id}[{sentence.start}:{sentence.end}]",
            str(sentence.label),
            *(f"{score:.3f}" for score in (scores.positive, scores.negative, scores.neutral)),
            shorten(cutter.cut(sentence.start, sentence.end)) + _length_note(sentence.usage),
        )


def entity_rows(result: Entities, text: Text) -> Iterator[Row]:
    """Yield one row for each entity, or one row that reports that there is none."""
    if result.error is not None:
        yield (text.id, "-", "-", "-", _error_cell(result.error))
    elif not result.entities:
        yield (text.id, "-", "-", "-", f"(none in: {shorten(text.content)})")
    for entity in result.entities:
        yield (text.id, str(entity.start), str(entity.end), entity.label, shorten(entity.text))


def syntax_rows(result: Syntax, text: Text) -> Iterator[Row]:
    """Yield one row for each token that is not white space, with the number of its sentence."""
    if result.error is not None:
        yield (text.id, _error_cell(result.error), *["-"] * 7)
    starts = {sentence.first_token for sentence in result.sentences}
    number = 0
    for position, token in enumerate(result.tokens):
        number += position in starts
        if token.text.isspace():
            continue
        head = None if token.head is None else result.tokens[token.head].text
        yield (
            f"{text.id}[{number}]" if number else text.id,
            shorten(token.text, 40),
            shorten(token.lemma or "-", 40),
            token.universal_part_of_speech or "-",
            token.fine_part_of_speech or "-",
            "-" if head is None else shorten(head, 20),
            token.dependency_label or "-",
            token.entity_label or "-",
            token.morphology or "-",
        )


def embedding_rows(result: Embedding, text: Text) -> Iterator[Row]:
    """Yield a row for each kind of vector: its size, and its first numbers or the tokens with the highest weights."""
    note = _length_note(result.usage)
    if result.error is not None:
        yield (text.id, "-", _error_cell(result.error))
    if result.dense is not None:
        yield (text.id, str(len(result.dense)), f"{_first_numbers(result.dense)} …{note}")
    if result.sparse is not None:
        tokens = result.sparse.tokens
        heaviest = zip(tokens[:_SPARSE_TOKENS], result.sparse.weights[:_SPARSE_TOKENS], strict=True)
        weights = " ".join(f"{shorten(token, 20)}={weight:.3f}" for token, weight in heaviest)
        more = " …" if len(tokens) > _SPARSE_TOKENS else ""
        yield (text.id, f"{len(tokens)} tokens", f"{weights}{more}{note}")
    if result.multi_vector is not None:
        rows = result.multi_vector
        size = f"{len(rows)}x{len(rows[0]) if len(rows) else 0}"
        yield (text.id, size, f"{_first_numbers(rows[0]) if len(rows) else ''} …{note}")


def paraphrase_rows(result: Paraphrases, texts: Sequence[Text], others: Sequence[Text]) -> Iterator[Row]:
    """Yield one row for each pair, then one for each text that could not be used."""
    for pair in result.pairs:
        first, second = texts[pair.first], others[pair.second]
        yield (f"{pair.score:.4f}", first.id, second.id, shorten(first.content), shorten(second.content))
    for problem in result.problems:
        yield ("-", problem.id, "-", _error_cell(problem.error), "-")


def analysis_row(result: DocumentAnalysis) -> Row:
    """Return one row for the document."""
    if result.error is not None:
        return (result.id, "-", "-", _error_cell(result.error))
    sentiment, entities, syntax = result.sentiment, result.entities, result.syntax
    tokens = "" if syntax is None else f"{len(syntax.sentences)} sentences, {len(syntax.tokens)} tokens"
    return (
        result.id,
        "-" if sentiment is None else str(sentiment.label or _error_cell(sentiment.error)),
        "-" if entities is None else _entities_cell(entities),
        " ".join(
            _error_cell(each.error) if each.dense is None else str(len(each.dense))
            for each in result.embeddings
        )
        or "-",
        *([] if syntax is None else [_error_cell(syntax.error) if syntax.error else tokens]),
    )


def models_table(models: Models) -> str:
    """Return the models, the reasons of those that do not serve, and the limits."""
    rows = [
        (
            model.key + ("*" if model.is_default else ""),
            str(model.task),
            str(model.state),
            f"{model.limit:,} {model.limit_unit}" if model.limit else "-",
            f"{model.dimensions:,} {', '.join(model.embedding_kinds)}" if model.dimensions else "-",
            model.licence or "-",
            f"{model.source}@{model.revision[:12]}",
        )
        for model in models.models
    ]
    lines = [format_table(("MODEL", "TASK", "STATE", "READS", "VECTORS", "LICENCE", "SOURCE"), rows)]
    lines += [
        printable(f"{model.key}: {model.reason}: {model.detail}") for model in models.models if model.reason
    ]
    limits = models.limits
    lines.append(
        f"\n* default of its task. A request takes {limits.texts:,} texts and {limits.request_bytes:,} bytes. "
        f"Worker {models.worker_version}, generation {models.generation[:12]}"
    )
    return "\n".join(lines)


def cache_table(status: CacheStatus) -> str:
    """Return the state of each model's files, their problems, and the overall result."""
    rows = [
        (model.key, model.reason, str(model.state), f"{model.files:,}", f"{model.bytes:,}", model.path)
        for model in status.models
    ]
    lines = [format_table(("MODEL", "CACHE", "STATE", "FILES", "BYTES", "FOLDER"), rows)]
    for model in status.models:
        lines += [
            printable(f"{model.key}: {each.file}: {each.reason}: {each.detail}") for each in model.problems
        ]
        if model.problem_count > len(model.problems):
            lines.append(f"{model.key}: and {model.problem_count - len(model.problems)} problems more")
    checked = f", checked {status.checked_at:%Y-%m-%d %H:%M:%S} UTC" if status.checked_at else ""
    summary = printable(f"{status.reason}: {status.detail}" if status.detail else status.reason)
    remedy = f"\nRemedy: {printable(status.remedy)}" if status.remedy else ""
    replaced = ", ".join(model.key for model in status.models if model.restart_needed)
    of_models = f" of {replaced}" if replaced else ""
    restart = (
        f"\nFiles{of_models} were replaced since they were loaded: restart the worker to load the new ones"
        if status.restart_needed
        else ""
    )
    if status.deep_check is not None and status.deep_check.detail not in status.detail:
        lines.append(printable(f"\n{status.deep_check.detail}"))
    damaged = ", ".join(model.key for model in status.models if model.damaged)
    if damaged:
        lines.append(f"\nLoaded from damaged files: {damaged}")
    lines.append(f"\n{summary} (cache {printable(status.cache)}{checked}){remedy}{restart}")
    lines.append(hint_line(status.reason))
    return "\n".join(lines).rstrip()


def provenance_line(provenances: Sequence[Provenance]) -> str:
    """Return one line with the models and workers that computed the results."""
    return "; ".join(
        f"{each.model} ({each.source}@{each.revision[:12]}, {each.precision}), worker {each.worker_version}"
        for each in provenances
    )


def shorten(text: str, width: int = 60) -> str:
    """Return the beginning of a text on one line, without characters that would move the cursor."""
    line = "".join(char if char.isprintable() else " " for char in " ".join(text[: 4 * width].split()))
    return line if len(line) <= width and len(text) <= 4 * width else line[: width - 1].rstrip() + "…"


def _entities_cell(entities: Entities) -> str:
    if entities.error is not None:
        return _error_cell(entities.error)
    return shorten(", ".join(f"{each.text} ({each.label})" for each in entities.entities) or "-")


def _error_cell(error: ItemError | None) -> str:
    return f"error {shorten(str(error), 200)}" if error else "-"


def _first_numbers(vector: Vector) -> str:
    return " ".join(f"{number:+.4f}" for number in vector[:4])


def _length_note(usage: Usage | None) -> str:
    """Return a note if a text was cut or windowed, else an empty string."""
    if usage is None or usage.outcome in (LongTextOutcome.WHOLE, LongTextOutcome.UNSPECIFIED):
        return ""
    if usage.outcome is LongTextOutcome.WINDOWED:
        return f" ({usage.windows} windows)"
    return f" (cut: {usage.used_tokens} of {usage.tokens} tokens)"


def _width(text: str) -> int:
    """Return the columns on a terminal: wide East Asian characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
