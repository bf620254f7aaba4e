"""Citations from result files of every format."""

import json
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from model_cache.json_values import dump_json_line
from qda_worker.client.citation.citation import cite_as_bibtex, cite_as_text
from qda_worker.client.citation.result_files import Computation, read_computations
from qda_worker.client.tables.conversion import convert
from qda_worker.client.tables.csv_table import CsvStyle, csv_style
from qda_worker.client.tables.file_formats import FileFormat
from tests.support.result_records import MODEL, sentiment_record

FOUND: Final = Computation(
    "german-sentiment", MODEL.source, MODEL.revision, "fp32", "0.1.0", "sentiment long_texts=cut"
)


def records(tmp_path: Path) -> Path:
    file = tmp_path / "r.jsonl"
    lines = [dump_json_line(sentiment_record(str(number))) for number in range(3)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_records_tell_what_computed_them(tmp_path: Path) -> None:
    assert read_computations(records(tmp_path)) == [FOUND]


@pytest.mark.parametrize("form", [FileFormat.CSV, FileFormat.XLSX, FileFormat.PARQUET])
def test_tables_tell_what_computed_them(tmp_path: Path, form: FileFormat) -> None:
    pytest.importorskip("openpyxl")
    pytest.importorskip("pyarrow")
    target = tmp_path / "table"  # its content is recognized, not its name
    convert(records(tmp_path), target, form, csv_style(",") if form is FileFormat.CSV else CsvStyle())
    assert read_computations(target) == [FOUND]


@pytest.mark.parametrize("end", [b"\r\n", b'"4";"a.t', b'"4";"', b"\r\n\r\n"])
def test_rows_that_are_not_whole_are_left_out(tmp_path: Path, end: bytes) -> None:
    target = tmp_path / "r.csv"
    convert(records(tmp_path), target, FileFormat.CSV, CsvStyle())
    with target.open("ab") as file:
        file.write(end)
    assert read_computations(target) == [FOUND]


def test_documents_of_stdout_tell_what_computed_them(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    provenance = sentiment_record("1")["provenance"]
    file.write_text(json.dumps({"results": [], "provenances": [provenance], "timings": {}}, indent=2))
    [found] = read_computations(file)
    assert (found.source, found.options) == (MODEL.source, "")


@pytest.mark.parametrize("content", ["", "gut\n", "[1]", "{}", '{"id": 1}\n{"', "\x00\xff", '"a";"b"\n1;2\n'])
def test_another_file_is_refused_with_a_remedy(tmp_path: Path, content: str) -> None:
    file = tmp_path / "r"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(UsageError) as error:
        read_computations(file)
    assert "--output" in error.value.remedy


def test_the_text_names_model_commit_licence_publication_and_program() -> None:
    text = cite_as_text([FOUND], {(MODEL.source, MODEL.revision): "MIT"})
    for part in (
        f"oliverguhr/german-sentiment-bert (german-sentiment): published by oliverguhr, commit {MODEL.revision}",
        "licence MIT",
        "Guhr, Oliver; Schumann, Anne-Kathrin",
        "qda-worker, version 0.1.0",
        "Options: sentiment long_texts=cut",
    ):
        assert part in text


def test_bibtex_is_balanced_and_escaped() -> None:
    other = Computation("x", "a/b_{c}%$#&~^\\", "1.0", "int8", "0.1.0", "")
    text = cite_as_bibtex([FOUND, other], {})
    assert text.count("@misc{") == 2
    assert "@inproceedings{guhr2020training," in text
    assert r"title = {a/b\_\{c\}\%\$\#\&\textasciitilde{}\textasciicircum{}\textbackslash{}}" in text
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert f"commit {MODEL.revision}" in text
