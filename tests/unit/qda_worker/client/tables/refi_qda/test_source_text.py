"""Where segments are in the text of their source."""

import pytest

from qda_worker.client.tables.refi_qda.source_text import SourcePart, joined_source, original_source, storable


def test_a_segment_is_found_at_its_place() -> None:
    text = "I: Guten Tag\n\nB: Hallo, guten Tag\n"
    part = SourcePart("Hallo, guten Tag", start=17, end=33)
    placed = original_source(text, [part])
    assert placed is not None
    assert placed[0] == text
    assert placed[1][0].span(7, 16) == (24, 33)


def test_labels_and_time_marks_may_be_between_the_words_of_a_segment() -> None:
    text = "B1: #00:01:02-1# Ja, 1 Mal\n   #00:01:05-2#  und dann 2 Mal #00:01:09-0#\n"
    part = SourcePart("Ja, 1 Mal und dann 2 Mal", start=0, end=len(text))
    placed = original_source(text, [part])
    assert placed is not None
    original, (placement,) = placed

    def cut(word: str, nth: int = 0) -> str:
        start = part.text.index(word, part.text.index(word) + 1 if nth else 0)
        begin, end = placement.span(start, start + len(word))
        return original[begin:end]

    assert [cut("Ja,"), cut("1"), cut("dann 2"), cut("Mal", 1)] == ["Ja,", "1", "dann 2", "Mal"]
    begin, end = placement.span(0, len(part.text))
    assert original[begin:end].startswith("Ja, 1 Mal\n")
    assert original[begin:end].endswith("2 Mal")


@pytest.mark.parametrize(
    "part",
    [
        SourcePart("anders", start=0, end=5),
        SourcePart("Hallo", start=0, end=99),
        SourcePart("Hallo"),
        SourcePart("allo", start=0, end=5),
    ],
)
def test_a_segment_that_is_not_at_its_place_is_not_guessed(part: SourcePart) -> None:
    assert original_source("Hallo", [part]) is None


def test_segments_are_joined_with_times_and_speakers() -> None:
    parts = [
        SourcePart("Wie war es?", "I", 0.0),
        SourcePart("Gut.", "Anna", 3723.4),
        SourcePart("Sehr gut.", "Anna", 3723.4),
        SourcePart("Ohne alles"),
    ]
    text, placements = joined_source(parts)
    assert text == "[00:00:00] I: Wie war es?\n\n[01:02:03] Anna: Gut.\n\nSehr gut.\n\nOhne alles\n"
    spans = [placement.span(0, len(part.text)) for placement, part in zip(placements, parts, strict=True)]
    assert [text[start:end] for start, end in spans] == [part.text for part in parts]


@pytest.mark.parametrize(
    "text", ["a\r\nb", "a\rb", "\ufeffa\ufeff", "a\ud800b", "a\r\n\r\nb", "e\u0308 \U0001f600"]
)
def test_stored_texts_keep_their_length_and_read_as_they_are(text: str) -> None:
    kept = storable(text)
    assert len(kept) == len(text)
    assert kept.encode().decode("utf-8-sig") == kept
    assert "\r" not in kept
