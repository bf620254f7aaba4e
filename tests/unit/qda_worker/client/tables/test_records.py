"""Records, and the ids of a file's results."""

from pathlib import Path

import pytest

from model_cache.errors import UsageError
from model_cache.json_values import dump_json_line
from qda_worker.client.tables.records import AnsweredIds, read_records, record_id
from tests.support.result_records import sentiment_record


def test_a_record_has_its_text_origin_models_and_options() -> None:
    record = sentiment_record("7", "Das hilft.", speaker="B1", start=3.5)
    assert list(record)[:2] == ["id", "text"]
    assert (record["source"], record["speaker"], record["start"]) == ("a.txt", "B1", 3.5)
    assert record["provenance"]["revision"].startswith("f195511f")
    assert record["options"]["command"] == "sentiment"
    assert "end" not in record


@pytest.mark.parametrize("identifier", ["1", 'a"b\\', "ä\u2028\x00", ""])
def test_the_id_of_a_line_is_found_without_the_rest(identifier: str) -> None:
    line = dump_json_line(sentiment_record(identifier)).encode() + b"\n"
    assert record_id(line) == identifier
    assert record_id(line[:-1]) is None
    assert record_id(line[: len(line) // 2]) is None


def test_equal_ids_are_taken_as_often_as_they_are_there() -> None:
    ids = AnsweredIds(["a", "b", "a", "a"])
    assert [ids.take("a") for _ in range(4)] == [True, True, True, False]
    assert (ids.take("b"), ids.take("b"), ids.take("c")) == (True, False, False)


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(dump_json_line(sentiment_record("1")) + '\n{"text": 1}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="line 2: found no result"):
        list(read_records(file))
