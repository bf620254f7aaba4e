"""JSON Lines."""

from qda_worker.client.readers.json_lines import read_json_lines
from qda_worker.client.readers.text_source import SourceLine


def test_a_line_without_an_id_has_its_number() -> None:
    """An empty id is none: all such lines would have the same one."""
    ids = ['""', "null", "NaN", '"a"', "0", '" "']
    lines = [
        SourceLine(number, 0, f'{{"id": {each}, "text": "gut"}}') for number, each in enumerate(ids, start=1)
    ]
    lines += [SourceLine(7, 0, '"gut"'), SourceLine(8, 0, '{"text": "gut"}'), SourceLine(9, 0, '{"id": ""}')]
    found = list(read_json_lines(lines, "a.jsonl"))
    assert [each.id for each in found] == ["1", "2", "3", "a", "0", " ", "7", "8", "9"]


def test_a_time_that_no_float_can_hold_is_unknown() -> None:
    values = ["1" + "0" * 400, "1e999", "NaN", '"5"', "true", "1.5"]
    lines = [
        SourceLine(number, 0, f'{{"text": "gut", "start": {value}}}')
        for number, value in enumerate(values, start=1)
    ]
    assert [each.start for each in read_json_lines(lines, "a.jsonl")] == [None] * 5 + [1.5]
