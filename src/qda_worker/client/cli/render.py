"""Results as tables for people. Pure.

Results as JSON. Pure.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from qda_worker.client.enums import LongTextOutcome, Offsets
from qda_worker.client.results import (
    DocumentAnalysis,
    Embedding,
    Entities,
    ItemError,
    Paraphrases,
    Provenance,
    Sentence,
    Sentiment,
    Usage,
    Vector,
)
from qda_worker.client.status import CacheStatus, Models
from qda_worker.client.texts import Text

Row = Sequence[str]

SENTIMENT_HEAD: Final = ("ID", "SENTIMENT", "POSITIVE", "NEGATIVE", "NEUTRAL", "TEXT")
ENTITY_HEAD: Final = ("ID", "START", "END", "LABEL", "ENTITY")
EMBEDDING_HEAD: Final = ("ID", "DIMENSIONS", "VECTOR")
PARAPHRASE_HEAD: Final = ("SCORE", "ID", "ID", "TEXT", "LIKE TEXT")
ANALYSIS_HEAD: Final = ("ID", "SENTIMENT", "ENTITIES", "VECTORS")


def aligned(head: Row, rows: Sequence[Row]) -> str:
    """The rows below the head, in columns as wide as they need; the last column is ragged."""
    table = [head, *rows]
    widths = [max(_width(row[column]) for row in table) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join(
            [
                *(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=False)),
                row[-1],
            ]
        )
        for row in table
    )


def sentiment_rows(result: Sentiment, text: Text) -> Iterator[Row]:
    """One row for the text, and one for each of its sentences."""
    if result.label is None or result.probabilities is None:
        yield (text.id, "-", "-", "-", "-", _failed(result.error))
        return
    scores = result.probabilities
    yield (
        text.id,
        str(result.label),
        *(f"{score:.3f}" for score in (scores.positive, scores.negative, scores.neutral)),
        shortened(text.content) + _cut(result.usage),
    )
    for sentence in result.sentences:
        scores = sentence.probabilities
        yield (
            f"{text.id}[{sentence.start}:{sentence.end}]",
            str(sentence.label),
            *(f"{score:.3f}" for score in (scores.positive, scores.negative, scores.neutral)),
            shortened(_part(text.content, sentence, result.offsets)) + _cut(sentence.usage),
        )


def entity_rows(result: Entities, text: Text) -> Iterator[Row]:
    """One row for each entity; one that says so where there is none."""
    if result.error is not None:
        yield (text.id, "-", "-", "-", _failed(result.error))
    elif not result.entities:
        yield (text.id, "-", "-", "-", f"(none in: {shortened(text.content)})")
    for entity in result.entities:
        yield (text.id, str(entity.start), str(entity.end), entity.label, shortened(entity.text))


def embedding_rows(result: Embedding, text: Text) -> Iterator[Row]:
    """A row for each kind of vector: how large it is, and its first numbers or weightiest tokens."""
    cut = _cut(result.usage)
    if result.error is not None:
        yield (text.id, "-", _failed(result.error))
    if result.dense is not None:
        yield (text.id, str(len(result.dense)), f"{_first(result.dense)} …{cut}")
    if result.sparse is not None:
        pairs = zip(result.sparse.tokens[:6], result.sparse.weights[:6], strict=True)
        weights = " ".join(f"{shortened(token, 20)}={weight:.3f}" for token, weight in pairs)
        yield (
            text.id,
            f"{len(result.sparse.tokens)} tokens",
            f"{weights}{_more(result.sparse.tokens, 6)}{cut}",
        )
    if result.multi_vector is not None:
        rows = result.multi_vector
        size = f"{len(rows)}x{len(rows[0]) if len(rows) else 0}"
        yield (text.id, size, f"{_first(rows[0]) if len(rows) else ''} …{cut}")


def paraphrase_rows(found: Paraphrases, texts: Sequence[Text], others: Sequence[Text]) -> Iterator[Row]:
    """One row for each pair, then one for each text that took no part."""
    for pair in found.pairs:
        first, second = texts[pair.first], others[pair.second]
        yield (f"{pair.score:.4f}", first.id, second.id, shortened(first.content), shortened(second.content))
    for problem in found.problems:
        yield ("-", problem.id, "-", _failed(problem.error), "-")


def analysis_row(result: DocumentAnalysis) -> Row:
    """One row for the document."""
    if result.error is not None:
        return (result.id, "-", "-", _failed(result.error))
    sentiment, entities = result.sentiment, result.entities
    return (
        result.id,
        "-" if sentiment is None else str(sentiment.label or _failed(sentiment.error)),
        "-" if entities is None else _entities_in_short(entities),
        " ".join(
            _failed(each.error) if each.dense is None else str(len(each.dense)) for each in result.embeddings
        )
        or "-",
    )


def models_table(found: Models) -> str:
    """The models, what is wrong with those that do not serve, and the limits."""
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
        for model in found.models
    ]
    lines = [aligned(("MODEL", "TASK", "STATE", "READS", "VECTORS", "LICENCE", "SOURCE"), rows)]
    lines += [f"{model.key}: {model.reason}: {model.detail}" for model in found.models if model.reason]
    limits = found.limits
    lines.append(
        f"\n* default of its task. A request takes {limits.texts:,} texts and {limits.request_bytes:,} bytes. "
        f"Worker {found.worker_version}, generation {found.generation[:12]}"
    )
    return "\n".join(lines)


def cache_table(status: CacheStatus) -> str:
    """The models' files, what is wrong with them, and the verdict."""
    rows = [
        (model.key, model.reason, str(model.state), f"{model.files:,}", f"{model.bytes:,}", model.path)
        for model in status.models
    ]
    lines = [aligned(("MODEL", "CACHE", "STATE", "FILES", "BYTES", "FOLDER"), rows)]
    for model in status.models:
        lines += [f"{model.key}: {each.file}: {each.reason}: {each.detail}" for each in model.problems]
        if model.problem_count > len(model.problems):
            lines.append(f"{model.key}: and {model.problem_count - len(model.problems)} problems more")
    checked = f", checked {status.checked_at:%Y-%m-%d %H:%M:%S} UTC" if status.checked_at else ""
    verdict = f"{status.reason}: {status.detail}" if status.detail else status.reason
    remedy = f"\nRemedy: {status.remedy}" if status.remedy else ""
    replaced = ", ".join(model.key for model in status.models if model.restart_needed)
    of = f" of {replaced}" if replaced else ""
    restart = (
        f"\nFiles{of} were replaced since: a restart serves the present ones" if status.restart_needed else ""
    )
    lines.append(f"\n{verdict} (cache {status.cache}{checked}){remedy}{restart}")
    return "\n".join(lines)


def made_by(provenances: Sequence[Provenance]) -> str:
    """One line on what made the results."""
    return "; ".join(
        f"{each.model} ({each.source}@{each.revision[:12]}, {each.precision}), worker {each.worker_version}"
        for each in provenances
    )


def shortened(text: str, width: int = 60) -> str:
    """The beginning of a text on one line, without characters that would move the cursor."""
    line = "".join(char if char.isprintable() else " " for char in " ".join(text[: 4 * width].split()))
    return line if len(line) <= width and len(text) <= 4 * width else line[: width - 1].rstrip() + "…"


def _part(text: str, sentence: Sentence, offsets: Offsets | None) -> str:
    """The sentence's words, in whichever unit its place is counted."""
    if offsets is Offsets.UTF8_BYTES:
        return text.encode()[sentence.start : sentence.end].decode(errors="replace")
    if offsets is Offsets.UTF16_UNITS:
        units = text.encode("utf-16-le")[2 * sentence.start : 2 * sentence.end]
        return units.decode("utf-16-le", errors="replace")
    return text[sentence.start : sentence.end]


def _entities_in_short(entities: Entities) -> str:
    if entities.error is not None:
        return _failed(entities.error)
    return shortened(", ".join(f"{each.text} ({each.label})" for each in entities.entities) or "-")


def _failed(error: ItemError | None) -> str:
    return f"error {shortened(str(error), 200)}" if error else "-"


def _first(vector: Vector) -> str:
    return " ".join(f"{number:+.4f}" for number in vector[:4])


def _more(shown: Sequence[str], count: int) -> str:
    return " …" if len(shown) > count else ""


def _cut(usage: Usage | None) -> str:
    """Nothing is cut in silence."""
    if usage is None or usage.outcome in (LongTextOutcome.WHOLE, LongTextOutcome.UNSPECIFIED):
        return ""
    if usage.outcome is LongTextOutcome.WINDOWED:
        return f" ({usage.windows} windows)"
    return f" (cut: {usage.used_tokens} of {usage.tokens} tokens)"


def _width(text: str) -> int:
    """Columns on a terminal: wide East Asian characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
