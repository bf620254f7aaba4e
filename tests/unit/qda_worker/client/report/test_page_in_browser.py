"""The page in a real browser: no request, no error, filters by keyboard, readable without scripts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from qda_worker.client.report.page import write_page
from qda_worker.client.report.wording import Language
from tests.support.browser import Page, browser_page, find_browser
from tests.support.result_records import HOSTILE, make_report

PROGRAM: Final = find_browser()

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium (apt-get install chromium)")

SHOWN: Final = (
    "[...document.querySelectorAll('#list li')].filter(each => each.checkVisibility()).map(each => each.id)"
)
COUNT: Final = "document.getElementById('count').textContent"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Start the browser once."""
    assert PROGRAM is not None
    with browser_page(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a page with hostile texts among others."""
    texts = ["Anna kam.", "Ben ging.", *HOSTILE, "Cem blieb.", "Anna blieb."]
    path = tmp_path / "report.html"
    path.write_text(write_page(make_report(texts, title=HOSTILE[0]), Language.DE, "0.1.0"), encoding="utf-8")
    return path


def change(tab: Page, field: str, value: str) -> None:
    """Set a field as a user does, and wait for the filter."""
    tab.evaluate(
        f"(async () => {{ const field = document.getElementById('f-{field}'); field.value = '{value}';"
        "field.dispatchEvent(new Event('input', {bubbles: true}));"
        "await new Promise(done => setTimeout(done, 200)); })()"
    )


def test_hostile_texts_do_nothing_and_nothing_is_requested(tab: Page, file: Path) -> None:
    tab.requests.clear()
    tab.problems.clear()
    tab.open(file)
    assert tab.evaluate("document.title") == HOSTILE[0]
    assert tab.evaluate("document.querySelectorAll('#list li').length") == len(HOSTILE) + 4
    tab.evaluate("new Promise(done => setTimeout(done, 200))")
    assert tab.requests == [file.as_uri()]
    assert tab.problems == []


def test_filters_by_speaker_sentiment_label_and_text(tab: Page, file: Path) -> None:
    tab.open(file)
    assert tab.evaluate(COUNT) == "11 von 11 Aussagen"
    change(tab, "speaker", "1")
    assert tab.evaluate(SHOWN) == ["s2", "s4", "s6", "s8", "s10"]
    change(tab, "text", "CEM")
    assert tab.evaluate(SHOWN) == ["s10"]
    assert tab.evaluate(COUNT) == "1 von 11 Aussagen"
    assert tab.evaluate("document.querySelectorAll('.map .dim').length") == 10
    tab.evaluate("document.querySelector('#filter button').click()")
    tab.evaluate("new Promise(done => setTimeout(done, 200))")
    assert tab.evaluate(COUNT) == "11 von 11 Aussagen"
    change(tab, "sentiment", "positive")
    assert len(tab.evaluate(SHOWN)) == 5


def test_a_link_to_a_hidden_statement_shows_it(tab: Page, file: Path) -> None:
    tab.open(file)
    change(tab, "text", "cem")
    tab.evaluate("location.hash = 's1'")
    tab.evaluate("new Promise(done => setTimeout(done, 200))")
    assert len(tab.evaluate(SHOWN)) == 11


def test_the_keyboard_reaches_the_filter_and_chooses(tab: Page, file: Path) -> None:
    tab.open(file)
    tab.evaluate("document.getElementById('f-text').focus()")
    tab.press("c", "c")
    tab.press("e", "e")
    tab.press("m", "m")
    tab.evaluate("new Promise(done => setTimeout(done, 200))")
    assert tab.evaluate(SHOWN) == ["s10"]
    reached = []
    for _ in range(3):
        tab.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.type"))
    assert reached == ["f-speaker", "f-sentiment", "reset"]


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 800)])
def test_the_page_is_not_wider_than_the_window(tab: Page, file: Path, width: int, height: int) -> None:
    tab.resize(width, height)
    tab.open(file)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_is_read_without_scripts(tab: Page, file: Path) -> None:
    tab.open(file, scripts=False)
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    names = [node.get("name", {}).get("value", "") for node in tree]
    assert "Aussagen" in names
    assert any("Cem" in str(name) for name in names)
    assert not any("Zurücksetzen" in str(name) for name in names)
    tab.call("Emulation.setScriptExecutionDisabled", value=False)
