"""Files and folders of mixed formats: order, ids, errors of single files."""

import io
import os
from pathlib import Path

import pytest

from model_cache.errors import UsageError
from qda_worker.client.readers.corpus import read_corpus
from qda_worker.client.readers.files import find_files
from qda_worker.client.readers.segment import InvalidSegment
from qda_worker.client.texts import InvalidText, Text
from tests.support.document_files import docx, errors, paragraph, pdf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a folder as people have it."""
    (tmp_path / "Welle 2").mkdir()
    (tmp_path / "Interview 10.txt").write_text("I: Wie?\nB: Gut.\nI: So.\n")
    (tmp_path / "Interview 2.docx").write_bytes(docx(paragraph("Früh.")))
    (tmp_path / "Welle 2" / "antworten.csv").write_text("id;text\n7;Schön\n8;\n")
    (tmp_path / "~$terview 2.docx").write_bytes(b"\x05Anna")
    (tmp_path / ".~lock.Interview 2.odt#").write_text(",anna,pc,")
    (tmp_path / ".DS_Store").write_bytes(bytes(8))
    (tmp_path / "Thumbs.db").write_bytes(bytes(8))
    (tmp_path / "ton.mp3").write_bytes(b"ID3\x04\0")
    (tmp_path / "projekt.mx22").write_bytes(bytes(8))
    (tmp_path / "kreis").symlink_to(tmp_path)
    return tmp_path


def test_a_folder_is_read_in_natural_order_without_temporary_files(folder: Path) -> None:
    messages: list[str] = []
    found = list(read_corpus([str(folder)], warn=messages.append))
    names = [Path(each.source).name for each in found]
    assert names == ["Interview 2.docx", *["Interview 10.txt"] * 3, "antworten.csv", "antworten.csv"]
    assert [each.id for each in found][1:4] == [f"{folder}/Interview 10.txt#{number}" for number in (1, 2, 3)]
    assert found[4].id == f"{folder}/Welle 2/antworten.csv#7"
    assert isinstance(found[5], InvalidSegment)
    unknown = [message for message in messages if "unknown types" in message]
    assert len(unknown) == 1
    assert all(name in unknown[0] for name in ("2 files", "ton.mp3", "projekt.mx22"))
    assert any("antworten.csv, row 3: the text is missing" in message for message in messages)


def test_a_file_that_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "1.docx").write_bytes(b"PK\x03\x04 word/document kaputt")
    (tmp_path / "2.txt").write_text("gut\n")
    (tmp_path / "3.pdf").write_bytes(pdf([]))
    (tmp_path / "4.txt").write_bytes("schön".encode("cp1252"))
    (tmp_path / "5.mp3").write_bytes(b"ID3\x04\0")
    files = [str(tmp_path / name) for name in ("1.docx", "2.txt", "3.pdf", "4.txt", "5.mp3", "6.txt")]
    messages: list[str] = []
    found = list(read_corpus(files, warn=messages.append))
    assert [each.text for each in found] == ["", "gut", "", "", "", ""]
    assert set(errors(found)) == {files[at] for at in (0, 2, 3, 4, 5)}
    assert len(messages) == 5
    reported = {each.source: each.error for each in found if isinstance(each, InvalidSegment)}
    words = ["damaged", "scanned", "is not UTF-8", "is a recording", "cannot be read: No such file"]
    for at, word in zip((0, 2, 3, 4, 5), words, strict=True):
        assert word in reported[files[at]].message
        assert reported[files[at]].remedy
    with pytest.raises(UsageError, match="scanned"):
        list(read_corpus([files[2]]))


def test_ids_of_files_with_long_names_are_short_enough(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{'ä' * 110}{number}.txt").write_text("gut\n")
    ids = [each.id for each in read_corpus([str(tmp_path)])]
    assert all(len(each.encode()) <= 256 for each in ids)
    assert len(set(ids)) == 2


def test_a_segment_becomes_what_is_sent(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id": 5, "text": "gut", "language": "de", "speaker": "B", "start": 1}\nnull\n'
    )
    first, second = read_corpus([str(tmp_path / "a.jsonl")])
    assert (first.speaker, first.start) == ("B", 1)
    assert first.to_text() == Text("gut", "5", "de")
    assert isinstance(second.to_text(), InvalidText)


def test_an_empty_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file to read"):
        list(read_corpus([str(tmp_path)]))
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        list(read_corpus([str(tmp_path / "a.txt")]))
    (tmp_path / "a.txt").touch()
    assert list(read_corpus([str(tmp_path)])) == []


def test_a_file_that_is_given_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("gut\n")
    files, message = find_files([str(tmp_path / "a.txt"), str(tmp_path), "-"])
    assert (files, message) == ([str(tmp_path / "a.txt"), "-"], "")


def test_what_the_program_writes_is_left_out_of_folders(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("gut\n")
    (tmp_path / "results.csv").write_text("id;text\n1;gut\n")
    (tmp_path / "other name.csv").hardlink_to(tmp_path / "results.csv")
    written = [tmp_path / "." / "results.csv", tmp_path / "missing.csv"]
    found = list(read_corpus([str(tmp_path)], leave_out=written))
    assert [(each.id, each.text) for each in found] == [("1", "gut")]


def test_lines_of_stdin_are_yielded_before_it_ends() -> None:
    class Endless(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return b"I: gut\nB: sehr gut\n"

    segments = read_corpus(["-"], stdin=Endless())
    assert [next(segments).text for _ in range(3)] == ["I: gut", "B: sehr gut", "I: gut"]


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.fork()
    if writer == 0:
        pipe.write_bytes(docx(paragraph("gut")))
        os._exit(0)
    assert [each.text for each in read_corpus([str(pipe)])] == ["gut"]
    os.waitpid(writer, 0)
