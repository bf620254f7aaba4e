"""SRT and WebVTT."""

from pathlib import Path
from typing import Final

from qda_worker.client.readers.options import Segmentation
from qda_worker.client.readers.segment import PlaceUnit
from tests.support.document_files import read, texts, turns

SRT: Final = (
    "\ufeff1\r\n00:00:01,000 --> 00:00:04,500\r\nIch war <i>da</i>,\r\nund das\r\n\r\n"
    "2\r\n00:00:04,500 --> 00:00:06,000\r\nwar gut.\r\n"
)
VTT: Final = """WEBVTT Titel
Kind: captions

NOTE
Transcribed with a program

STYLE
::cue { color: red }

1
00:00:01.000 --> 00:00:02.000 align:start
<v Anna>Guten Tag,

intro
00:02.000 --> 00:03.000
<v.loud Anna>wie <c.x>geht</c> es?</v>

00:00:03.000 --> 00:00:10.01
<v Ben M&uuml;ller>Gut &amp; sch&ouml;n.</v> <v Anna>Aha.</v>

00:00:11.000 --> 00:00:12.000
<v >Niemand.
"""


def test_cues_have_their_times_and_places(tmp_path: Path) -> None:
    found = read(SRT, "a.srt", tmp_path)
    assert texts(found) == ["Ich war da, und das", "war gut."]
    assert [(each.start, each.end, each.speaker) for each in found] == [(1, 4.5, None), (4.5, 6, None)]
    content = (tmp_path / "a.srt").read_text(encoding="utf-8-sig")
    places = [each.place for each in found]
    assert all(place is not None and place.unit is PlaceUnit.CUE for place in places)
    assert [content[place.start : place.end] for place in places if place] == [
        "Ich war <i>da</i>,\nund das",
        "war gut.",
    ]


def test_voices_are_speakers_whose_cues_are_one_turn(tmp_path: Path) -> None:
    found = read(VTT, "a.vtt", tmp_path)
    assert turns(found) == [
        ("Anna", "Guten Tag, wie geht es?"), ("Ben Müller", "Gut & schön."), ("Anna", "Aha."), (None, "Niemand."),
    ]  # fmt: skip
    assert [(each.start, each.end) for each in found] == [(1, 3), (3, 10.01), (3, 10.01), (11, 12)]
    assert len({each.id for each in found}) == 4
    lines = read(VTT, "a.vtt", tmp_path, segment=Segmentation.LINE)
    assert texts(lines)[:2] == ["Guten Tag,", "wie geht es?"]
    [whole] = read(VTT, "a.vtt", tmp_path, segment=Segmentation.FILE)
    assert whole.text == "Guten Tag, wie geht es? Gut & schön. Aha. Niemand."


def test_the_content_says_what_subtitles_are(tmp_path: Path) -> None:
    assert len(read(SRT, "a.txt", tmp_path)) == 2
    assert len(read(VTT.encode("utf-16"), "b.txt", tmp_path)) == 4


def test_labels_in_cues_are_speakers(tmp_path: Path) -> None:
    cues = ["I: Wie war es?", "B: Gut,", "sehr gut.", "I: Aha."]
    content = "\n".join(
        f"{at}\n00:00:0{at},0 --> 00:00:0{at},9\n{cue}\n" for at, cue in enumerate(cues, start=1)
    )
    assert turns(read(content, "a.srt", tmp_path)) == [
        ("I", "Wie war es?"),
        ("B", "Gut, sehr gut."),
        ("I", "Aha."),
    ]


def test_damaged_subtitles_are_read_as_far_as_possible(tmp_path: Path) -> None:
    content = (
        "1\n00:00:01,000 --> 00:00:02,000\nEins\n2\n00:00:02,000 --> 00:00:01,000\nZwei\n\n"
        "x\n00:00:05 --> 00:00:06\n\nNichts\n"
    )
    found = read(content, "a.srt", tmp_path)
    assert [(each.text, each.start, each.end) for each in found] == [("Eins", 1, 2), ("Zwei", 2, 2)]
