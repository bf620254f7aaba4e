"""Shared request fields: ids, enum numbers, and the paths of fields at fault."""

import pytest

from qda.v1 import text_pb2
from qda_worker.conversion.request_fields import field_prefix, parse_enum, parse_texts
from qda_worker.errors import ArgumentInvalid, EncodingMissing, NotReady, QueueFull, Violation


def test_texts_keep_their_order_and_their_ids() -> None:
    batch = parse_texts([text_pb2.Text(content="Köln", id="ä"), text_pb2.Text(content="")])
    assert batch.contents == ("Köln", "")
    assert batch.ids == ("ä", "")
    assert batch.id_bytes == 2


@pytest.mark.parametrize(("text_id", "is_valid"), [("ä" * 128, True), ("ä" * 129, False), ("i" * 257, False)])
def test_ids_are_measured_in_bytes(text_id: str, is_valid: bool) -> None:
    texts = [text_pb2.Text(content="x"), text_pb2.Text(content="x", id=text_id)]
    if is_valid:
        parse_texts(texts)
        return
    with pytest.raises(ArgumentInvalid) as caught:
        parse_texts(texts)
    assert [violation.field for violation in caught.value.violations] == ["texts[1].id"]


def test_an_enum_number_that_is_unknown_is_refused_by_field() -> None:
    assert parse_enum({1: "one"}, 1, "kind") == "one"
    with pytest.raises(ArgumentInvalid, match="kind has no value 2") as caught:
        parse_enum({1: "one"}, 2, "kind")
    assert [violation.field for violation in caught.value.violations] == ["kind"]


def test_a_prefix_completes_message_and_path_and_keeps_the_error_type() -> None:
    error = EncodingMissing("is missing", "set it", violations=[Violation("offset_encoding", "is required")])
    with pytest.raises(EncodingMissing) as caught, field_prefix("settings"):
        raise error
    assert (caught.value.message, caught.value.remedy) == ("settings: is missing", "set it")
    assert caught.value.violations == (Violation("settings.offset_encoding", "is required"),)


def test_a_prefix_keeps_everything_else_that_an_error_says() -> None:
    with pytest.raises(NotReady) as not_ready, field_prefix("settings.entities"):
        raise NotReady("it does not load", permanent=True)
    assert not_ready.value.permanent
    with pytest.raises(QueueFull) as full, field_prefix("settings"):
        raise QueueFull("full", retry_after=7.5)
    assert (full.value.retry_after, full.value.remedy) == (7.5, QueueFull.usual_remedy)
    assert str(full.value).startswith("QUEUE_FULL: settings: full")
