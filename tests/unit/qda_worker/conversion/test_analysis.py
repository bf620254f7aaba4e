"""AnalyzeDocuments: the order of errors in the settings, and documents that cannot be used."""

import pytest

from qda.v1 import analysis_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.analysis import (
    parse_document,
    parse_settings,
    parse_unreadable_document,
)
from qda_worker.conversion.document_tasks import parse_tasks
from qda_worker.errors import ArgumentInvalid, TextEmpty, TextNotUtf8, Violation


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
