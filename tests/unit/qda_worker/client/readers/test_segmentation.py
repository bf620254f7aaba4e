"""What is a segment, and where it is in its source."""

from pathlib import Path
from typing import Final, SupportsIndex

import pytest

from qda_worker.client.readers.options import Segmentation
from qda_worker.client.readers.segment import Place, PlaceUnit, Segment
from qda_worker.client.readers.segmentation import divide_sentences
from tests.support.document_files import read, texts, turns

TRANSCRIPT: Final = (
    "I: Wie war das für Sie? #00:01:02-3#\r\n\r\nB1: Das war schwer. Ich war allein.\r\nUnd dann?\r\n\r\n"
    "Dann kam Anna. #00:01:20-1#\r\nI: Aha.\r\n"
)


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        (
            None,
            ["Wie war das für Sie?", "Das war schwer. Ich war allein.\nUnd dann?\n\nDann kam Anna.", "Aha."],
        ),
        (
            "turn",
            ["Wie war das für Sie?", "Das war schwer. Ich war allein.\nUnd dann?\n\nDann kam Anna.", "Aha."],
        ),
        (
            "line",
            [
                "Wie war das für Sie?",
                "Das war schwer. Ich war allein.",
                "Und dann?",
                "Dann kam Anna.",
                "Aha.",
            ],
        ),
        (
            "paragraph",
            ["Wie war das für Sie?", "Das war schwer. Ich war allein.\nUnd dann?", "Dann kam Anna.", "Aha."],
        ),
        (
            "sentence",
            [
                "Wie war das für Sie?",
                "Das war schwer.",
                "Ich war allein.",
                "Und dann?",
                "Dann kam Anna.",
                "Aha.",
            ],
        ),
    ],
)
def test_a_transcript_is_divided_and_each_segment_has_its_speaker(
    segment: str | None, expected: list[str], tmp_path: Path
) -> None:
    found = read(TRANSCRIPT, "a.txt", tmp_path, segment=Segmentation(segment) if segment else None)
    assert texts(found) == expected
    assert [each.speaker for each in found] == ["I"] + ["B1"] * (len(expected) - 2) + ["I"]
    python_text = (tmp_path / "a.txt").read_text()
    for each in found:
        assert each.place is not None
        assert each.place.unit is PlaceUnit.LINE
        assert python_text[each.place.start : each.place.end] == each.text
        assert each.text.split("\n")[0] in python_text.split("\n")[each.place.number - 1]
    assert len({each.id for each in found}) == len(found)


class CountedText(str):
    """A text that adds up over how many characters it was searched for line ends."""

    __slots__ = ("searched",)

    def __init__(self, _: str) -> None:
        self.searched = 0

    def count(self, sub: str, start: SupportsIndex | None = None, end: SupportsIndex | None = None, /) -> int:
        self.searched += len(self[start:end])
        return super().count(sub, start, end)


def test_the_lines_of_many_sentences_are_counted_once() -> None:
    text = CountedText("Das war gut.\nUnd das\nauch. Ja.\n" * 200)
    place = Place(PlaceUnit.LINE, 7, 0, len(text))
    found = list(divide_sentences(Segment(text, "1", "a.txt", place=place)))
    assert len(found) == 600
    for each in found:
        assert each.place is not None
        assert each.place.start is not None
        assert each.place.number == 7 + str(text).count("\n", 0, each.place.start)
    assert text.searched <= len(text)


def test_a_whole_file_is_one_segment(tmp_path: Path) -> None:
    [whole] = read(TRANSCRIPT, "a.txt", tmp_path, segment=Segmentation.FILE)
    assert (whole.text, whole.id) == (TRANSCRIPT.replace("\r\n", "\n"), "a.txt")
    assert whole.place == Place(PlaceUnit.LINE, 1, 0, len(whole.text))


def test_a_text_without_speakers_is_read_by_lines_unless_something_else_is_asked_for(tmp_path: Path) -> None:
    text = "\ufeffSuper. Gut.\n\nGanz\nin Ordnung, z. B. hier.\n"
    lines = read(text, "a.txt", tmp_path)
    assert [(each.id, each.text) for each in lines] == [
        ("1", "Super. Gut."), ("3", "Ganz"), ("4", "in Ordnung, z. B. hier."),
    ]  # fmt: skip
    assert [each.place for each in lines][1] == Place(PlaceUnit.LINE, 3, 13, 17)
    paragraphs = ["Super. Gut.", "Ganz\nin Ordnung, z. B. hier."]
    assert texts(read(text, "a.txt", tmp_path, segment=Segmentation.PARAGRAPH)) == paragraphs
    assert texts(read(text, "a.txt", tmp_path, segment=Segmentation.TURN)) == paragraphs
    sentences = read(text, "a.txt", tmp_path, segment=Segmentation.SENTENCE)
    assert [(each.id, each.text) for each in sentences] == [
        ("1.1", "Super."), ("1.2", "Gut."), ("3.1", "Ganz\nin Ordnung, z. B. hier."),
    ]  # fmt: skip


def test_a_turn_without_speech_is_left_out(tmp_path: Path) -> None:
    found = read("I: Wie?\nB:\nI: Hallo?\nB: #00:01:02-0#\nI: Gut.\n", "a.txt", tmp_path)
    assert turns(found) == [("I", "Wie?"), ("I", "Hallo?"), ("I", "Gut.")]


def test_sentences_of_rows_have_the_id_of_their_row(tmp_path: Path) -> None:
    found = read("id;text\na;Gut. Schön.\nb;Ja.\n", "a.csv", tmp_path, segment=Segmentation.SENTENCE)
    assert [(each.id, each.text) for each in found] == [("a.1", "Gut."), ("a.2", "Schön."), ("b.1", "Ja.")]
