"""Transcripts in JSON, as programs write them that turn speech into text."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from model_cache.errors import UsageError
from qda_worker.client.readers.options import Segmentation
from qda_worker.client.readers.segment import InvalidSegment, Place, PlaceUnit, Segment
from tests.support.document_files import errors, read, texts, turns

WHISPER: Final = """{"text": " Ich war froh. Sehr froh.", "segments": [
  {"id": 0, "seek": 0, "start": 0.0, "end": 2.5, "text": " Ich war froh.", "tokens": [50364, 7], "temperature": 0.0,
   "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01},
  {"id": 1, "seek": 0, "start": 2.5, "end": 4.0, "text": " Sehr froh.", "tokens": [7], "temperature": 0.0},
  {"id": 2, "seek": 0, "start": 4.0, "end": 9.0, "text": " ", "tokens": []}], "language": "de"}"""
WHISPERX: Final = """{"segments": [
  {"start": 0.031, "end": 1.2, "text": " Wie war es?", "speaker": "SPEAKER_01",
   "words": [{"word": "Wie", "start": 0.031, "end": 0.2, "score": 0.9, "speaker": "SPEAKER_01"}, {"word": "10?"}]},
  {"start": 1.5, "end": 3.0, "text": "Gut,", "words": [], "speaker": "SPEAKER_00"},
  {"start": 3.0, "end": 4.25, "text": "sehr gut.", "words": [], "speaker": "SPEAKER_00"},
  {"start": 5.0, "end": 6.0, "text": "Aha.", "words": []}],
 "word_segments": [{"word": "Wie", "start": 0.031, "end": 0.2, "score": 0.9}], "language": "de"}"""
# In the full form each segment has its tokens, too.
WHISPER_CPP: Final = """{
	"systeminfo": "AVX = 1",
	"model": {"type": "base", "multilingual": true, "text": {"ctx": 448}},
	"result": {"language": "de"},
	"transcription": [
		{
			"timestamps": {"from": "00:00:00,000", "to": "00:00:01,500"},
			"offsets": {"from": 0, "to": 1500},
			"text": " Wie war \\"es\\"?",
			"tokens": [{"text": " Wie", "offsets": {"from": 0, "to": 90}, "id": 9, "p": 0.9, "t_dtw": -1}],
			"speaker": "0"
		},
		{"timestamps": {"from": "00:00:01,500", "to": "01:00:02,250"}, "text": " Gut.", "speaker": "1"},
		{"offsets": {"from": 3602250, "to": 3603000}, "text": " Ja.", "speaker": "?"}
	]
}"""
AMBERSCRIPT: Final = """{"id": "5c9e", "recordId": "r", "filename": "a.mp3", "startTimeOffset": 0.0,
 "speakers": [{"spkid": "spk1", "name": "Anna Weber"}, {"spkid": "spk2"}],
 "segments": [
  {"speaker": "spk1", "words": [{"text": "Guten", "start": 2.11, "end": 2.68, "duration": null, "conf": null},
                                {"text": "Tag.", "start": 2.7, "end": 3.01, "conf": 1.0, "pristine": true}]},
  {"speaker": "spk2", "words": [{"text": "Hallo.", "start": 4.14, "end": 4.9}]},
  {"speaker": "spk2", "words": []}],
 "highlights": []}"""


def segments(*fields: dict[str, Any] | object) -> str:
    """Return a transcript of Whisper with these segments."""
    return json.dumps({"segments": fields})


def times(found: list[Segment]) -> list[tuple[float | None, float | None]]:
    return [(each.start, each.end) for each in found]


def test_whisper_has_a_text_for_each_segment(tmp_path: Path) -> None:
    found = read(WHISPER, "a.json", tmp_path)
    assert turns(found) == [(None, "Ich war froh."), (None, "Sehr froh.")]
    assert times(found) == [(0, 2.5), (2.5, 4)]
    assert [each.place for each in found] == [
        Place(PlaceUnit.SEGMENT, 1, 0, 13),
        Place(PlaceUnit.SEGMENT, 2, 14, 24),
    ]


def test_segments_of_one_speaker_are_one_turn(tmp_path: Path) -> None:
    found = read(WHISPERX, "a.json", tmp_path)
    assert turns(found) == [("SPEAKER_01", "Wie war es?"), ("SPEAKER_00", "Gut, sehr gut."), (None, "Aha.")]
    assert times(found) == [(0.031, 1.2), (1.5, 4.25), (5, 6)]
    assert [each.id for each in found] == ["1", "2", "4"]
    assert {each.source for each in found} == {str(tmp_path / "a.json")}


def test_segmentation_is_that_of_transcripts(tmp_path: Path) -> None:
    assert len(read(WHISPERX, "a.json", tmp_path, segment=Segmentation.LINE)) == 4
    [whole] = read(WHISPERX, "a.json", tmp_path, segment=Segmentation.FILE)
    assert whole.text == "Wie war es? Gut, sehr gut. Aha."
    sentences = read(WHISPER, "a.json", tmp_path, segment=Segmentation.SENTENCE)
    assert [each.id for each in sentences] == ["1.1", "2.1"]


def test_whisper_cpp_has_milliseconds_or_marks(tmp_path: Path) -> None:
    found = read(WHISPER_CPP, "a.json", tmp_path)
    assert turns(found) == [("0", 'Wie war "es"?'), ("1", "Gut."), (None, "Ja.")]
    assert times(found) == [(0, 1.5), (1.5, 3602.25), (3602.25, 3603)]


def test_whisper_cpp_writes_line_ends_and_halves_of_characters(tmp_path: Path) -> None:
    """Its tokens are bytes: a character may be divided between two, also between segments."""
    content = (
        b'{"transcription": [{"text": " a\nb", "tokens": [{"text": "\xc3"}, {"text": "\xb6"}]},'
        b'{"text": " sch\xc3"}, {"text": "\xb6n"}, {"text": " Ja."}]}'
    )
    found = read(content, "a.json", tmp_path)
    assert texts(found) == ["a\nb", "", "", "Ja."]
    assert errors(found) == {"2": "TEXT_NOT_UTF8", "3": "TEXT_NOT_UTF8"}


def test_amberscript_has_words_and_names(tmp_path: Path) -> None:
    found = read(AMBERSCRIPT, "a.json", tmp_path)
    assert turns(found) == [("Anna Weber", "Guten Tag."), ("spk2", "Hallo.")]
    assert times(found) == [(2.11, 3.01), (4.14, 4.9)]


def test_labels_are_speakers_where_the_file_names_none(tmp_path: Path) -> None:
    lines = ["I: Wie war es?", "B: Gut,", "sehr gut.", "I: Aha."]
    content = segments(*({"start": at, "end": at + 1, "text": line} for at, line in enumerate(lines)))
    assert turns(read(content, "a.json", tmp_path)) == [
        ("I", "Wie war es?"),
        ("B", "Gut, sehr gut."),
        ("I", "Aha."),
    ]


def test_a_wrong_segment_spoils_no_other(tmp_path: Path) -> None:
    wrong = [
        {"text": 5},
        {"text": None},
        7,
        {"start": 1},
        {"text": "x\ud83d"},
        {"text": "\0"},
        {"words": [1]},
    ]
    content = segments({"text": "a"}, *wrong, {"text": "b", "speaker": 3}, {"text": "c", "speaker": ["x"]})
    warnings: list[str] = []
    found = read(content, "a.json", tmp_path, warnings=warnings)
    assert [each.id for each in found] == [str(number) for number in range(1, 11)]
    assert errors(found) == {
        "2": "ARGUMENT_INVALID", "3": "TEXT_EMPTY", "4": "ARGUMENT_INVALID", "5": "ARGUMENT_INVALID",
        "6": "TEXT_NOT_UTF8", "7": "ARGUMENT_INVALID", "8": "ARGUMENT_INVALID",
    }  # fmt: skip
    assert turns([each for each in found if not isinstance(each, InvalidSegment)]) == [
        (None, "a"),
        ("3", "b"),
        (None, "c"),
    ]
    assert all(f"segment {number}" in message for number, message in enumerate(warnings, start=2))


def test_wrong_segments_are_in_order_beside_turns(tmp_path: Path) -> None:
    content = segments(
        {"text": "a", "speaker": "A"},
        {"text": 5},
        {"text": "b", "speaker": "A"},
        {"text": "c", "speaker": "B"},
    )
    found = read(content, "a.json", tmp_path)
    assert [(each.id, each.text) for each in found] == [("1", "a b"), ("2", ""), ("4", "c")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-1, "-1"), (float("nan"), "nan"), (float("inf"), "inf"), ("1.5", '"1.5"'), (True, "True"),
        ([1], "no number"), (10**400, "1000"),
    ],
)  # fmt: skip
def test_a_wrong_time_is_left_out_with_a_message(value: object, shown: str, tmp_path: Path) -> None:
    warnings: list[str] = []
    content = segments({"start": value, "end": 2, "text": "a"}, {"start": 3, "end": value, "text": "b"})
    found = read(content, "a.json", tmp_path, warnings=warnings)
    assert (texts(found), times(found)) == (["a", "b"], [(None, 2), (3, None)])
    [message] = warnings
    assert f"a.json, segment 1: start is {shown}" in message
    assert message.endswith("which is no time; it is left out, and 1 more")


def test_missing_times_are_unknown(tmp_path: Path) -> None:
    warnings: list[str] = []
    content = segments(
        {"text": "a"}, {"start": None, "end": None, "text": "b"}, {"start": 5, "end": 4, "text": "c"}
    )
    found = read(content, "a.json", tmp_path, warnings=warnings)
    assert (times(found), warnings) == ([(None, None), (None, None), (5, 5)], [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"segments": {"text": "a"}}', '"segments" is no list'),
        ('{"transcription": "a"}', '"transcription" is no list'),
        ('{"segments": [{"txt": "a"}, 5]}', 'segment 1: found an object without "text"'),
        (segments(*[5] * 1_000, {"text": "a"}), "segment 1: found no object"),
    ],
)
def test_a_file_without_any_right_segment_is_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(content, "a.json", tmp_path)
    assert '"text": "…"' in caught.value.remedy


@pytest.mark.parametrize("content", ['{"text": "gut", "segments": null}', '{"text": "gut", "segments": []}'])
def test_a_text_without_segments_is_one_text(content: str, tmp_path: Path) -> None:
    assert texts(read(content, "a.json", tmp_path)) == ["gut"]


def test_one_labelled_speaker_is_no_conversation(tmp_path: Path) -> None:
    content = segments(*({"text": line} for line in ["Hallo.", "I: ja", "I: nein"]))
    assert "I: ja" in " ".join(texts(read(content, "a.json", tmp_path)))


def test_silence_has_no_texts(tmp_path: Path) -> None:
    assert read('{"text": "", "segments": [], "language": "de"}', "a.json", tmp_path) == []


def test_a_thousand_wrong_segments_behind_a_right_one_are_errors_of_their_own(tmp_path: Path) -> None:
    found = read(segments({"text": "a"}, *[5] * 1_000, {"text": "b"}), "a.json", tmp_path)
    assert (len(found), len(errors(found)), texts(found)[-1]) == (1_002, 1_000, "b")
