"""Parquet: types, vectors of a fixed size, missing ones, metadata."""

import json
from io import BytesIO
from typing import Any

import pytest

from model_cache.errors import UsageError
from qda_worker.client.tables.layout import layout_of
from qda_worker.client.tables.parquet_table import write_parquet
from qda_worker.client.tables.records import Record
from tests.support.result_records import OPTIONS, entity_record, sentiment_record, vector_record

parquet = pytest.importorskip("pyarrow.parquet")


def table(command: str, records: list[Record]) -> Any:
    file = BytesIO()
    write_parquet(lambda: records, layout_of(OPTIONS[command]), file)
    return parquet.read_table(file)


def test_vectors_are_lists_of_a_fixed_size() -> None:
    found = table(
        "embed", [vector_record("1", None), vector_record("2", [0.5, 0.25]), vector_record("3", [1.0, 0.0])]
    )
    assert str(found.schema.field("vector").type) == "fixed_size_list<element: float>[2]"
    assert found.column("vector").to_pylist() == [None, [0.5, 0.25], [1.0, 0.0]]
    assert found.column("error").to_pylist()[0] == "TEXT_EMPTY: the text has no characters"


def test_vectors_of_several_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="2 and 3 dimensions"):
        table("embed", [vector_record("1", [0.5, 0.25]), vector_record("2", [1.0, 0.0, 0.0])])


def test_there_is_a_row_for_each_entity_and_for_a_text_without_any() -> None:
    found = table(
        "entities", [entity_record("1", "Anna und Ben", "Anna", "Ben"), entity_record("2", "niemand")]
    )
    assert found.column("entity").to_pylist() == ["Anna", "Ben", None]
    assert found.column("entity_number").to_pylist() == [1, 2, 0]
    assert found.column("entity_start").to_pylist() == [0, 9, None]


def test_the_metadata_tell_models_and_options() -> None:
    found = table("sentiment", [sentiment_record("1", "halbes \ud83d Zeichen")])
    about = json.loads(found.schema.metadata[b"qda"])
    assert about["models"][0]["source"] == "oliverguhr/german-sentiment-bert"
    assert about["options"]["command"] == "sentiment"
    assert found.column("text").to_pylist() == ["halbes ? Zeichen"]
