"""What is coded in a record."""

from typing import Any

import pytest

from model_cache.errors import UsageError
from qda_worker.client.tables.refi_qda.codings import record_codings, require_codings
from tests.support.coded_records import analysis, provenance


def coded(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(record["text"][each.start : each.end], each.code.label) for each in record_codings(record)]


def test_sentiment_entities_and_speaker_are_coded() -> None:
    record = analysis(" Anna war da. ", names=("Anna",), speaker="B1")
    assert coded(record) == [("Anna war da.", "B1"), ("Anna war da.", "positive"), ("Anna", "PER")]


def test_the_sentences_are_coded_instead_of_the_whole_text() -> None:
    record = {
        **analysis("Gut. Schlecht.", label="neutral"),
        **analysis("Gut. Schlecht.", label="neutral")["sentiment"],
        "options": {"command": "sentiment"},
        "provenance": provenance("feelings"),
        "sentences": [
            {"start": 0, "end": 5, "label": "positive", "probabilities": {"positive": 1.0}},
            {"start": 5, "end": 14, "label": "negative", "probabilities": {"negative": 1.0}},
        ],
    }
    assert coded(record) == [("Gut.", "positive"), ("Schlecht.", "negative")]
    assert {each.user for each in record_codings(record)} == {"feelings (example/feelings@0123456789ab)"}


@pytest.mark.parametrize(
    ("unit", "start", "end"), [("code-points", 2, 6), ("utf-16", 3, 7), ("utf-8", 5, 10)]
)
def test_positions_of_each_unit_become_code_points(unit: str, start: int, end: int) -> None:
    record = analysis("\U0001f600 Jörg", label="")
    entity = {"text": "Jörg", "label": "PER", "model_label": "PER", "start": start, "end": end}
    record["entities"] = {"entities": [entity], "offsets": unit}
    assert coded(record) == [("Jörg", "PER")]


def test_texts_with_an_error_have_no_codings_of_models() -> None:
    error = {"reason": "TEXT_TOO_LONG", "message": "too long"}
    record = analysis("Text", sentiment={"error": error}, entities={"error": error, "entities": []})
    assert coded(record) == []
    assert coded(analysis(" ", speaker="B1")) == []


@pytest.mark.parametrize(
    "options", [{"command": "embed"}, {"command": "analyze", "tasks": ["embedding=key"]}, {}]
)
def test_results_without_codes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="codes"):
        require_codings(options)


def test_results_with_codes_are_accepted() -> None:
    require_codings({"command": "analyze", "tasks": ["entities=key", "embedding"]})
    require_codings({"command": "sentiment"})
