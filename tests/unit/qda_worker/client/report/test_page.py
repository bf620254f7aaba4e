"""The page as HTML: everything is escaped, nothing is loaded, what is shown, and its contrast."""

import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise, product
from typing import Any, Final

import pytest

from qda_worker.client.report.page import write_page
from qda_worker.client.report.wording import WORDINGS, Language
from tests.support.result_records import HOSTILE, make_report

VOID: Final = {"meta", "input", "br", "img", "link", "hr"}


class Elements(HTMLParser):
    """Collects the elements of a page, and checks that each is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def page(texts: list[str], language: Language = Language.DE, **changes: Any) -> str:
    return write_page(make_report(texts, **changes), language, "0.1.0")


@pytest.mark.parametrize("language", list(Language))
def test_nothing_from_outside_becomes_markup(language: Language) -> None:
    """Hostile texts give the same elements as harmless ones, wherever they stand."""
    harmless = Elements(page([f"Wort{number}" for number in range(len(HOSTILE))], language))
    hostile = make_report(list(HOSTILE), title=HOSTILE[0])
    for each, text in zip(hostile.statements, HOSTILE, strict=True):
        object.__setattr__(each.segment, "source", "a.txt")
        object.__setattr__(each.segment, "speaker", f"{each.segment.speaker}{HOSTILE[1]}{HOSTILE[5]}")
        object.__setattr__(each, "error", text)
    found = Elements(write_page(hostile, language, "0.1.0"))
    assert [tag for tag, _ in found.found] == [tag for tag, _ in harmless.found]
    allowed = {name for _, attributes in harmless.found for name in attributes}
    assert {name for _, attributes in found.found for name in attributes} <= allowed
    assert HOSTILE[3] in "".join(found.text)


def test_characters_that_html_cannot_contain_are_replaced() -> None:
    content = page([HOSTILE[4], "Wort"])
    assert re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\u202e]", content) is None
    assert content.encode()


def test_the_page_loads_nothing() -> None:
    elements = Elements(page(["Wort", "Satz"]))
    [policy] = [each["content"] for each in elements.named("meta") if "http-equiv" in each]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not [each for _, attributes in elements.found for each in attributes if each in ("src", "style")]
    assert not [each for _, attributes in elements.found for each in attributes if each.startswith("on")]
    assert all(str(each["href"]).startswith("#") for each in elements.named("a") + elements.named("use"))
    assert "url(" not in files("qda_worker.client.report").joinpath("style.css").read_text("utf-8")


def test_statements_have_speaker_time_sentiment_entities_and_links() -> None:
    content = page(["Anna kam.", "Ben ging.", "Cem blieb."])
    assert '<li id="s1" class="negative" data-speaker="0" data-label="PERSON">' in content
    assert "<time>1:01</time>" in content
    assert "<mark>Anna<span>&nbsp;Person</span></mark> kam." in content
    assert "negativ 90&nbsp;%" in content
    assert '<a href="#s2">2&ensp;Ben ging.</a> (0,80)' in content
    assert "oliverguhr/german-sentiment-bert" in content
    assert "f195511fd2678d4a56ca3f5a371844138a3bc8d9" in content
    assert "04.03.2026, 05:06 (UTC)" in content


def test_controls_have_labels_and_the_count_is_announced() -> None:
    elements = Elements(page(["Anna kam.", "Ben ging.", "Cem blieb."]))
    labels = {each["for"] for each in elements.named("label")}
    fields = {each["id"] for each in elements.named("select") + elements.named("input")}
    assert labels == fields == {"f-text", "f-speaker", "f-sentiment"}
    assert elements.named("output")[0]["aria-live"] == "polite"
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_statements_without_results_are_shown() -> None:
    report = make_report(["Anna kam."])
    statement = report.statements[0]
    statement.sentiment = statement.probability = statement.vector = None
    statement.entities, statement.error = [], "TEXT_TOO_LONG: too long"
    content = write_page(report, Language.EN, "0.1.0")
    assert "not analyzed: TEXT_TOO_LONG: too long" in content
    Elements(content)


def test_both_languages_have_the_same_words() -> None:
    german, english = WORDINGS[Language.DE], WORDINGS[Language.EN]
    for name in ("sentiments", "entities", "tasks"):
        assert getattr(german, name).keys() == getattr(english, name).keys()
    for name in german.__dataclass_fields__:
        first, second = getattr(german, name), getattr(english, name)
        assert re.findall(r"\{\w+\}", str(first)) == re.findall(r"\{\w+\}", str(second))


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rgb` or `#rrggbb`, as WCAG 2.2 defines it."""
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    values = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *product(("ink", "soft", "accent"), ("page", "card", "positive-tint", "negative-tint")),
        ("positive", "positive-tint"),
        ("negative", "negative-tint"),
        ("ink", "entity"),
        ("#6b4e00", "entity"),
    ],
)  # fmt: skip
def test_texts_have_the_contrast_of_wcag_aa(text: str, ground: str) -> None:
    style = files("qda_worker.client.report").joinpath("style.css").read_text("utf-8")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", style))
    light, dark = sorted((luminance(colours.get(each, each)) for each in (text, ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
