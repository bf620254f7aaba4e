"""Projects and code books as files: valid, exact in their positions, the same each time."""

import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from lxml import etree

from model_cache.errors import UsageError
from qda_worker.client.tables.refi_qda.package import (
    MAX_TEXTS,
    creation_time,
    no_source,
    write_qdc,
    write_qdpx,
)
from tests.support.coded_records import analysis

SCHEMAS: Final = Path(__file__).parents[5] / "data" / "refi_qda"
NAMES: Final = {"q": "urn:QDA-XML:project:1.0"}
CREATED: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
HARD: Final = 'Anna <sagt> & "ruft" \U0001f600 e\u0308 \x0b\x01'


def records() -> list[dict[str, Any]]:
    return [
        analysis("Guten Tag, Anna", names=("Anna",), speaker="I", start=1.5),
        analysis(HARD, names=("Anna", "\U0001f600"), speaker='B<1> "\x02"', label="negative"),
        analysis("", error={"reason": "TEXT_EMPTY", "message": "empty"}),
        analysis("Zeile\r\nAnna", names=("Anna",), source="ordner/interview.txt"),
        analysis("ohne", source="other/interview.txt", label=""),
    ]


def project(
    rows: list[dict[str, Any]],
    read_source: Callable[[str], str | None] = no_source,
    max_texts: int = MAX_TEXTS,
) -> bytes:
    file = io.BytesIO()
    write_qdpx(
        lambda: iter(rows),
        file,
        name="Studie & <1>",
        created=CREATED,
        read_source=read_source,
        max_texts=max_texts,
    )
    return file.getvalue()


def validate(content: bytes, schema: str) -> etree._ElementTree:
    tree = etree.ElementTree(etree.fromstring(content))
    etree.XMLSchema(etree.parse(SCHEMAS / schema)).assertValid(tree)
    return tree


def sources(content: bytes) -> list[bytes]:
    """Return the texts of the sources of a project."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    return [archive.read(name) for name in archive.namelist() if name.startswith("sources/")]


def selected(content: bytes) -> Iterator[tuple[str, str, str]]:
    """Yield the source, the words and the code of each coding, as another program reads them."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    tree = validate(archive.read("project.qde"), "Project.xsd")
    codes = {each.get("guid"): each.get("name") for each in tree.iterfind(".//q:Code", NAMES)}
    for source in tree.iterfind(".//q:TextSource", NAMES):
        path = source.attrib["plainTextPath"].replace("internal://", "sources/")
        text = archive.read(path).decode("utf-8-sig")
        for selection in source.iterfind("q:PlainTextSelection", NAMES):
            start, end = int(selection.attrib["startPosition"]), int(selection.attrib["endPosition"])
            for code in selection.iterfind("q:Coding/q:CodeRef", NAMES):
                yield source.attrib["name"], text[start:end], str(codes[code.get("targetGUID")])


def test_a_project_is_valid_and_its_positions_are_exact() -> None:
    found = list(selected(project(records())))
    assert ("interview.txt", "Anna", "PER") in found
    assert ("interview.txt", HARD.strip(), "negative") in found
    assert ("interview.txt", "\U0001f600", "PER") in found
    assert ("interview.txt", "Guten Tag, Anna", "I") in found
    assert ("ordner - interview.txt", "Anna", "PER") in found


def test_a_source_is_shown_as_it_is_if_it_can_be_read() -> None:
    text = "I: Guten Tag\n\n\nB: #1# Hallo #2#\n"
    rows = [
        analysis("Guten Tag", speaker="I", place={"unit": "line", "number": 1, "start": 0, "end": 12}),
        analysis("Hallo", speaker="B", place={"unit": "line", "number": 4, "start": 15, "end": 31}),
    ]
    content = project(rows, lambda _: text)
    assert text.encode() in sources(content)
    assert {words for _, words, _ in selected(content)} == {"Guten Tag", "Hallo"}
    changed = project(rows, lambda _: "another text")
    assert {words for _, words, _ in selected(changed)} == {"Guten Tag", "Hallo"}


def test_a_transcript_in_json_is_shown_with_its_speakers() -> None:
    text = "Guten Tag\nHallo"
    rows = [
        analysis("Guten Tag", speaker="I", place={"unit": "segment", "number": 1, "start": 0, "end": 9}),
        analysis("Hallo", speaker="B", place={"unit": "segment", "number": 2, "start": 10, "end": 15}),
    ]
    content = project(rows, lambda _: text)
    assert text.encode() not in sources(content)
    assert any(b"I: Guten Tag" in each for each in sources(content))
    assert {words for _, words, _ in selected(content)} == {"Guten Tag", "Hallo"}


def test_the_same_results_give_the_same_file() -> None:
    assert project(records()) == project(records())
    identifiers = etree.fromstring(zipfile.ZipFile(io.BytesIO(project(records()))).read("project.qde")).xpath(
        "//@guid"
    )
    assert isinstance(identifiers, list)
    assert len(set(identifiers)) == len(identifiers)


def test_the_project_tells_where_it_is_from() -> None:
    archive = zipfile.ZipFile(io.BytesIO(project(records())))
    tree = validate(archive.read("project.qde"), "Project.xsd")
    note = tree.find("q:Notes/q:Note", NAMES)
    assert note is not None
    text = archive.read(note.attrib["plainTextPath"].replace("internal://", "sources/")).decode()
    assert "5 texts, 1 of them with an error" in text
    assert "feelings (example/feelings@0123456789ab), revision 0123456789abcdef0123" in text
    assert "analyze tasks=sentiment,entities" in text


def test_a_long_source_becomes_several() -> None:
    rows = [analysis(f"Text {number}", id=str(number)) for number in range(5)]
    names = [name for name, _, _ in selected(project(rows, lambda _: "unused", max_texts=2))]
    assert names == ["interview.txt"] * 2 + ["interview.txt (2)"] * 2 + ["interview.txt (3)"]


def test_a_code_book_is_valid() -> None:
    file = io.BytesIO()
    write_qdc(lambda: iter(records()), file)
    tree = validate(file.getvalue(), "Codebook.xsd")
    names = {each.get("name") for each in tree.iter("{urn:QDA-XML:codebook:1.0}Code")}
    assert {"Sentiment", "positive", "negative", "Entities", "PER", "Speakers", "I"} <= names


def test_results_without_any_code_make_no_code_book() -> None:
    with pytest.raises(UsageError, match="no codes"):
        write_qdc(lambda: iter([analysis("Text", label="")]), io.BytesIO())
    with pytest.raises(UsageError, match="no results"):
        project([])


def test_the_time_is_that_of_the_results_or_of_the_environment() -> None:
    assert creation_time(1.9, {}).timestamp() == 1
    assert creation_time(1.0, {"SOURCE_DATE_EPOCH": "86400"}).day == 2
    with pytest.raises(UsageError, match="gestern"):
        creation_time(1.0, {"SOURCE_DATE_EPOCH": "gestern"})


def test_another_program_reads_the_project_and_the_code_book(tmp_path: Path) -> None:
    """PyPI's pyrefiqda, whose classes are generated from the schemas, reads what was written."""
    reader = pytest.importorskip("pyrefiqda", reason="installed with the extra dev")
    (tmp_path / "p.qdpx").write_bytes(project(records()))
    loaded = reader.RefiProject.load(tmp_path / "p.qdpx", str(tmp_path / "extracted"))
    words = set()
    for source in loaded.sources.text_source:
        path = reader.RefiProject.resolve_source_path(source.plain_text_path, tmp_path / "extracted")
        text = path.read_text("utf-8")
        words |= {text[each.start_position : each.end_position] for each in source.plain_text_selection}
    assert {"Guten Tag, Anna", "Anna", HARD.strip(), "\U0001f600"} <= words
    with (tmp_path / "p.qdc").open("wb") as file:
        write_qdc(lambda: iter(records()), file)
    codes = reader.RefiCodebook.load(tmp_path / "p.qdc").codes.code
    assert [code.name for code in codes] == ["Sentiment", "Entities", "Speakers"]
