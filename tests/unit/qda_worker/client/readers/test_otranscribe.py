"""Transcripts of oTranscribe."""

import json
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from qda_worker.client.readers.otranscribe import read_otranscribe
from qda_worker.client.readers.segment import Place, PlaceUnit
from tests.support.document_files import read, texts, turns


def time(seconds: str, shown: str = "0:00") -> str:
    """Return a time as the editor writes it."""
    return f'<span class="timestamp" contenteditable="false" data-timestamp="{seconds}">{shown}</span>'


def otr(html: str) -> str:
    return json.dumps({"text": html, "media": "a.mp3", "media-source": "", "media-time": 1315.629803})


INTERVIEW: Final = otr(
    f"<p>Interview 3</p><p>{time('12.111684')}&nbsp;I: Wie war es?</p>"
    f"<div>{time('15')} B: Gut &amp; <i>schön</i>. {time('17.5')} Ja.<br>Sehr.</div><p>I: Aha.</p><p><br></p>"
)


@pytest.mark.parametrize("name", ["a.otr", "a.json", "A.OTR"])
def test_turns_have_their_labels_and_times(name: str, tmp_path: Path) -> None:
    found = read(INTERVIEW, name, tmp_path)
    assert turns(found) == [
        (None, "Interview 3"),
        ("I", "Wie war es?"),
        ("B", "Gut & schön. [0:00:17.5] Ja.\nSehr."),
        ("I", "Aha."),
    ]
    assert [(each.start, each.end) for each in found[1:3]] == [(12.112, 15), (15, None)]
    assert found[1].place == Place(PlaceUnit.PARAGRAPH, 2, 29, 40)


def test_times_before_and_behind_each_utterance(tmp_path: Path) -> None:
    html = "".join(
        f"<p>{time(f'{at}.250000')} Satz {at}. {time(f'{at + 1}.0')} <br /></p>" for at in (1, 3_599, 7_200)
    )
    found = read(otr(html), "a.otr", tmp_path)
    assert texts(found) == ["Satz 1.", "Satz 3599.", "Satz 7200."]
    assert [(each.start, each.end) for each in found] == [(1.25, 2), (3599.25, 3600), (7200.25, 7201)]


def test_bold_names_are_labels(tmp_path: Path) -> None:
    html = "".join(
        f"<p>{time(f'{at}')}<b>{name}</b>: Satz {at}.</p>" for at, name in enumerate(["Josh", "Ray"] * 3)
    )
    found = read(otr(html), "a.otr", tmp_path)
    assert [(each.speaker, each.start) for each in found] == [
        (name, at) for at, name in enumerate(["Josh", "Ray"] * 3)
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("01:05", "[0:01:05] a"), ("1:00:05", "[1:00:05] a"), ("NaN", "00:12 a"), ("-3", "00:12 a"), ("", "00:12 a"),
        ("9999999", "00:12 a"), ("59.9996", "[0:01:00] a"),
    ],
)  # fmt: skip
def test_a_value_that_is_no_time_leaves_what_is_shown(value: str, text: str) -> None:
    assert read_otranscribe(f"<p>{time(value, '00:12')}a</p>", "a.otr").text == text


def test_html_that_the_editor_does_not_write_is_read(tmp_path: Path) -> None:
    html = (
        "<!-- x --><style>p { color: red }</style>a &lt;b&gt; < c <p>d</span></b><script>x</script><![if !y]>"
        '<span class="x">e</span> <![<'
    )
    assert read_otranscribe(html, "a.otr").text == "a <b> < c\nde <![<"
    assert texts(read(json.dumps({"text": "<p>gut"}), "a.otr", tmp_path)) == ["gut"]


def test_a_time_that_is_not_closed_hides_no_other_paragraph() -> None:
    html = f"<p>A: hallo</p><p>{time('1', '0:01').removesuffix('</span>')} weg</p><p>mehr Text</p>"
    assert read_otranscribe(html, "a.otr").text.split("\n")[-1] == "mehr Text"


@pytest.mark.parametrize(
    "part",
    ["<a ", "<!--", "<", "&#", "<span>a", "<p>", "</p", "<![", '<b x="', f"<span {'a' * 3_990}>", "<style>"],
)
def test_damaged_markup_takes_linear_time(part: str) -> None:
    read_otranscribe(part * 100_000, "a.otr")


def test_a_file_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found neither a string"):
        read('{"text": 5}', "a.otr", tmp_path)
    with pytest.raises(UsageError, match="is no JSON"):
        read("<p>gut</p>", "a.otr", tmp_path)
    with pytest.raises(UsageError, match="NUL"):
        read(otr("a\0b"), "a.otr", tmp_path)
