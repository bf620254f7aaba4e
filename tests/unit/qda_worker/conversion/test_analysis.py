"""AnalyzeDocuments: the order of errors in the settings, and documents that cannot be used."""

from typing import Any

import numpy as np
import pytest

from model_cache.catalog.catalog import Precision, Task
from qda.v1 import analysis_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.analysis import (
    build_document,
    parse_document,
    parse_settings,
    parse_unreadable_document,
)
from qda_worker.conversion.document_tasks import parse_tasks
from qda_worker.errors import ArgumentInvalid, TextEmpty, TextNotUtf8, Violation
from qda_worker.models.base import ModelInfo, Usage
from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.models.syntax import TokenTable
from qda_worker.models.token_columns import Column
from qda_worker.models.vectors import TextVectors
from qda_worker.scheduling.jobs import Success, Timings


def test_tasks_are_parsed_one_by_one_so_that_the_first_error_decides() -> None:
    settings = pb.AnalyzeDocumentsSettings(
        sentiment=pb.SentimentTask(model="not checked here"),
        entities=pb.EntityTask(label_scheme=9),  # type: ignore[arg-type]  # no such value
        offset_encoding=text_pb2.OFFSET_ENCODING_CODE_POINTS,
    )
    tasks = parse_tasks(parse_settings(pb.AnalyzeDocumentsRequest(settings=settings)))
    assert next(tasks).model == "not checked here"
    with pytest.raises(ArgumentInvalid) as caught:
        next(tasks)
    assert [violation.field for violation in caught.value.violations] == ["settings.entities.label_scheme"]


def test_an_empty_document_has_an_error() -> None:
    part = pb.AnalyzeDocumentsRequest(document=text_pb2.Text(id="a"))
    document = parse_document(3, part)
    assert (document.index, document.id, document.content) == (3, "a", "")
    assert isinstance(document.error, TextEmpty)


@pytest.mark.parametrize(("length", "size"), [(10, 0), (200, 0), (1256, 1000), (100_256, 100_000)])
def test_the_bytes_of_a_document_above_256_count_against_the_limit_of_its_stream(
    length: int, size: int
) -> None:
    document = parse_document(0, pb.AnalyzeDocumentsRequest(document=text_pb2.Text(content="x" * length)))
    assert size <= document.size <= size + 10  # of the message itself


def test_text_that_is_not_utf8_fails_its_document_or_the_stream() -> None:
    in_document = TextNotUtf8("bad", violations=[Violation("document.content", "is not UTF-8")])
    assert parse_unreadable_document(0, in_document).error is in_document
    in_settings = TextNotUtf8("bad", violations=[Violation("settings.sentiment.model", "is not UTF-8")])
    with pytest.raises(TextNotUtf8):
        parse_unreadable_document(0, in_settings)


@pytest.mark.parametrize(("words", "fits"), [(10, True), (40, False), (70, False)])
def test_a_syntax_gets_the_room_that_the_other_tasks_leave(words: int, fits: bool) -> None:
    """The vector takes 32 MiB of the 64 MiB of a message, each word a MiB."""
    settings = pb.AnalyzeDocumentsSettings(offset_encoding=text_pb2.OFFSET_ENCODING_CODE_POINTS)
    settings.syntax.SetInParent()
    settings.embeddings.add()
    tasks = list(parse_tasks(parse_settings(pb.AnalyzeDocumentsRequest(settings=settings))))
    table = np.zeros((len(Column), words), np.int32)
    table[Column.LEMMA] = 1
    tokens = TokenTable(table, ["", "x" * 2**20], frozenset({SyntaxLayer.LEMMA}))
    answers: list[Any] = [tokens, TextVectors(np.zeros(2**23, np.float32))]
    info = ModelInfo("m", Task.SYNTAX, "s", "1", Precision.FP32, None, 100)
    usage = Usage(words, words, cut=False, window_count=1)
    document = parse_document(2, pb.AnalyzeDocumentsRequest(document=text_pb2.Text(id="a", content="x")))
    result = build_document(
        document,
        [(task, info, Success(each, usage, Timings())) for task, each in zip(tasks, answers, strict=True)],
        0.0,
    )
    assert (result.index, result.id, result.HasField("status")) == (2, "a", False)
    assert len(result.embeddings[0].dense.data) == 2**25
    assert result.syntax.HasField("status") is not fits
    assert len(result.syntax.tokens) == words * fits
