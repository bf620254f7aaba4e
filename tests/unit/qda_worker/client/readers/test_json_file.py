"""JSON files that are lists, single texts, or no texts."""

import io
import json
from pathlib import Path

import pytest

from model_cache.errors import UsageError
from qda_worker.client.readers.corpus import read_corpus
from qda_worker.client.readers.files import find_files
from qda_worker.client.readers.json_file import MAX_JSON_BYTES
from qda_worker.client.readers.options import InputFormat, ReadingOptions, Segmentation
from qda_worker.client.readers.segment import Place, PlaceUnit
from tests.support.document_files import errors, read, texts


def test_a_list_is_read_by_the_rules_of_json_lines(tmp_path: Path) -> None:
    items = [
        "a",
        {"id": "x", "text": "b", "speaker": "B", "start": 1, "end": 2, "language": "de"},
        5,
        None,
        {"id": 7},
    ]
    found = read(json.dumps(items), "a.json", tmp_path)
    assert [(each.id, each.text) for each in found] == [
        ("1", "a"),
        ("x", "b"),
        ("3", ""),
        ("4", ""),
        ("7", ""),
    ]
    assert errors(found) == {"3": "ARGUMENT_INVALID", "4": "TEXT_EMPTY", "7": "ARGUMENT_INVALID"}
    second = found[1]
    assert (second.speaker, second.start, second.end, second.language) == ("B", 1, 2, "de")
    assert second.place == Place(PlaceUnit.ITEM, 2)
    lines = read("\n".join(map(json.dumps, items)), "a.jsonl", tmp_path)
    assert [(each.id, each.text, each.speaker) for each in lines] == [
        (each.id, each.text, each.speaker) for each in found
    ]


@pytest.mark.parametrize("content", ['"gut"', '{"text": "gut"}', '["gut"]', '\ufeff[\n  "gut"\n]\n'])
def test_one_text(content: str, tmp_path: Path) -> None:
    assert texts(read(content, "a.json", tmp_path)) == ["gut"]


@pytest.mark.parametrize("content", ['"Gut. Ja."', '{"text": "Gut. Ja."}'])
def test_one_text_is_the_whole_file_or_has_sentences(content: str, tmp_path: Path) -> None:
    assert texts(read(content, "a.json", tmp_path, segment=Segmentation.FILE)) == ["Gut. Ja."]
    assert texts(read(content, "a.json", tmp_path, segment=Segmentation.SENTENCE)) == ["Gut.", "Ja."]


def test_values_that_pandas_writes_as_missing_are_none(tmp_path: Path) -> None:
    (found,) = read('[{"text": "Gut", "id": NaN, "language": NaN, "start": NaN}]', "a.json", tmp_path)
    assert (found.id, found.text, found.language, found.start) == ("1", "Gut", "", None)


def test_sentences_of_a_list(tmp_path: Path) -> None:
    found = read('[{"id": "x", "text": "Gut. Ja."}, 5]', "a.json", tmp_path, segment=Segmentation.SENTENCE)
    assert [(each.id, each.text) for each in found] == [("x.1", "Gut."), ("x.2", "Ja."), ("2", "")]
    with pytest.raises(UsageError, match="a list of texts, not one text"):
        read('["a", "b"]', "a.json", tmp_path, segment=Segmentation.FILE)


def test_json_lines_in_a_json_file(tmp_path: Path) -> None:
    found = read('{"text": "a"}\n{"text": "b"}\n{bad', "a.json", tmp_path)
    assert (texts(found), errors(found)) == (["a", "b", ""], {"3": "ARGUMENT_INVALID"})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_byte_order_marks_are_read(encoding: str, tmp_path: Path) -> None:
    assert texts(read('["schön"]'.encode(encoding), "a.json", tmp_path)) == ["schön"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("5", "found a number"),
        ("null", "found null"),
        ("false", "found true or false"),
        ("{}", "found an object without texts"),
        ('{"name": "x", "version": 1}', 'without texts; it has "name", "version"'),
        ("[1, 2]", "item 1: found neither a string"),
        ("gut", "is no JSON: Expecting value: line 1 column 1"),
        ('{"segments": [{"text": "a"}', "is no JSON"),
        ('{"text": "a"} {"text": "b"}', "is no JSON: Extra data"),
        ("1" * 5_000, "is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"segments": ' * 100_000, "nested too deeply"),
        ('[{"text": "a", "id": 1, "text": "b"}]', 'has the name "text" twice'),
        (json.dumps(dict.fromkeys(map(str, range(100_000))))[:-1] + ', "7": 0}', 'has the name "7" twice'),
        ('["schön", "größer"]'.encode("latin-1"), "is not UTF-8"),
        (b"[" + b"0," * 5_000_000 + b"0]", "more than 5,000,000 values"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused_with_what_to_do(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(content, "a.json", tmp_path)
    assert caught.value.remedy


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.write(b'["')
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(UsageError, match="more than 64 MiB") as caught:
        list(read_corpus([str(path)]))
    assert "JSON Lines" in caught.value.remedy


def test_an_empty_file_has_no_texts(tmp_path: Path) -> None:
    assert read("", "a.json", tmp_path) == read(" \n", "a.json", tmp_path) == []


def test_the_format_may_be_said_for_stdin(tmp_path: Path) -> None:
    options = ReadingOptions(InputFormat.JSON)
    assert texts(list(read_corpus(["-"], options, stdin=io.BytesIO(b'[\n"a",\n"b"\n]')))) == ["a", "b"]
    assert texts(read('"a"\n"b"', "a.json", tmp_path, input=InputFormat.JSONL)) == ["a", "b"]


def test_json_files_of_folders_are_read_if_they_begin_like_texts(tmp_path: Path) -> None:
    contents = {
        "1.json": b'{"systeminfo": "", "transcription": []}', "2.json": b' \n["a"]', "3.otr": b"{}",
        "4.json": '{"segments": []}'.encode("utf-16"), "5.json": b'\xef\xbb\xbf{"text": "a"}',
        "key.json": b'{"purpose": "key", "texts": []}', "settings.json": b"5",
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    files, message = find_files([str(tmp_path)])
    assert [Path(file).name for file in files] == ["1.json", "2.json", "3.otr", "4.json", "5.json"]
    assert "key.json" in message
    assert "settings.json" in message
