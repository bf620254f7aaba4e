"""Transcripts of noScribe: as the program writes them, and as its editor saves them."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from tests.support.document_files import read, turns

HEAD: Final = (
    '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.0//EN" "http://www.w3.org/TR/REC-html40/strict.dtd">\n<html >\n<head >\n'
    '<meta charset="UTF-8" />\n<meta name="qrichtext" content="1" />\n<style type="text/css" >\np { x: y; }\n'
    '</style>\n<meta name="audio_source" content="./a.mp3" /></head>\n<body ><div class="WordSection1" >'
    '<p style="font-weight: 600" >a</p><p ><span style="color: #909090" >Transcribed with noScribe vers. 0.7<br />'
    "Audio file: ./a.mp3</span></p>"
)
PROGRAM: Final = HEAD + (
    '<p ><a name="ts_0_12140_" >(12 seconds pause) </a></p>'
    '<p ><a name="ts_12140_22800_S01" >S01: <span style="color: #78909C" >[00:00:12]</span> Guten Tag &amp; hallo.</a>'
    '<a name="ts_22800_30010_S01" > (..)</a><a name="ts_30090_30910_//S02" > //S02: Schön.</a>'
    '<a name="ts_31870_33510_S01" >// Ja.</a></p>'
    '<p ><a name="ts_36190_36330_S00" >S00: <span >[00:00:36]</span> Um 10:30: ja.</a></p></div></body></html>'
)
EDITOR: Final = HEAD + (
    '<p style=" margin-top:0px;"><a name="ts_12140_22800_S01"></a><span>Frau Müller: [00:00:12] Guten </span>'
    "<span>Tag.</span></p>\n"
    '<p><a name="ts_22800_23000_S01"></a><span>Und noch etwas.</span></p>\n'
    '<p><a name="ts_36190_36330_S00"></a><span>Anna : Ja.</span></p></body></html>'
)


def test_a_transcript_of_the_program_has_turns_with_exact_times(tmp_path: Path) -> None:
    found = read(PROGRAM, "a.html", tmp_path)
    assert turns(found) == [("S01", "Guten Tag & hallo. (..) //S02: Schön.// Ja."), ("S00", "Um 10:30: ja.")]
    assert [(each.start, each.end) for each in found] == [(12.14, 33.51), (36.19, 36.33)]


def test_names_that_were_given_in_the_editor_are_the_speakers(tmp_path: Path) -> None:
    found = read(EDITOR, "a.html", tmp_path)
    assert turns(found) == [("Frau Müller", "Guten Tag. Und noch etwas."), ("Anna", "Ja.")]


@pytest.mark.parametrize(
    "content", ["<!DOCTYPE html><html><body><p>I: gut</p></body></html>", HEAD + "</body></html>"]
)
def test_another_page_is_refused_with_what_to_do(content: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is an HTML page, and no transcript of noScribe"):
        read(content, "a.html", tmp_path)


@pytest.mark.parametrize("part", ["<a ", "<!--", "<![", "&#", "<a name='", "</"])
def test_damaged_markup_is_text(part: str, tmp_path: Path) -> None:
    """Python's parser raises AssertionError for some of it, and takes quadratic time for others."""
    damaged = PROGRAM.replace("Um 10:30: ja.", part * 50_000)
    assert [each.speaker for each in read(damaged, "a.html", tmp_path)] == ["S01", "S00"]
