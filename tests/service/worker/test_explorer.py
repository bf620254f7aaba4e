"""The page of the HTTP port in a real browser: it calls the worker, loads nothing from elsewhere, and shows errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.browser import Page, browser_page, find_browser

PROGRAM: Final = find_browser()

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium (apt-get install chromium)")

# Chooses a method, writes a body unless the example is wanted, sends, and waits for the response.
SEND: Final = """(async () => {
  const [method, body] = %s;
  const select = document.getElementById("operation");
  select.selectedIndex = [...select.options].findIndex((each) => each.text.endsWith(method));
  select.dispatchEvent(new Event("change"));
  if (body !== null) document.getElementById("body").value = body;
  document.querySelector("button[type=submit]").click();
  const status = document.getElementById("status");
  for (let i = 0; i < 400 && !/ after |No response/.test(status.textContent); i++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  return [status.textContent, document.getElementById("answer").textContent];
})()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert PROGRAM is not None
    with browser_page(PROGRAM, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(tab: Page, http_url: str) -> Page:
    """Open the page again and wait until it knows the methods."""
    tab.requests.clear()
    tab.problems.clear()
    tab.open(f"{http_url}/docs")
    tab.evaluate(
        "(async () => { while (document.getElementById('request').hidden && "
        "!document.getElementById('problem').textContent) await new Promise((go) => setTimeout(go, 20)); })()"
    )
    return tab


def send(page: Page, method: str, body: str | None = None) -> tuple[str, Any]:
    status, answer = page.evaluate(SEND % json.dumps([method, body]))
    return status, json.loads(answer)


def test_the_page_lists_the_methods_and_loads_only_the_document(page: Page, http_url: str) -> None:
    listed = page.evaluate("[...document.querySelectorAll('#operation option')].map((each) => each.text)")
    assert "POST /qda.v1.SentimentService/AnalyzeSentiment" in listed
    assert "GET /v1/models/{model}" in listed
    assert not any("EmbedStream" in each for each in listed)
    assert page.requests == [f"{http_url}/docs", f"{http_url}/openapi.json"]
    assert page.problems == []


def test_the_example_of_each_method_gets_a_result(page: Page) -> None:
    paths = page.evaluate("[...document.querySelectorAll('#operation option')].map((each) => each.text)")
    methods = [each.removeprefix("POST ") for each in paths if "qda.v1" in each]
    assert len(methods) >= 6
    statuses = {method: send(page, method)[0] for method in methods if "Syntax" not in method}
    assert {status.split()[0] for status in statuses.values()} == {"200"}
    assert page.problems == []


def test_an_embedding_is_computed_with_a_body_of_the_user(page: Page) -> None:
    status, answer = send(page, "/v1/embeddings", '{"model": "tiny-embedding", "input": "Hallo"}')
    assert status.startswith("200")
    assert answer["object"] == "list"
    curl = page.evaluate("document.getElementById('curl').textContent")
    assert curl.startswith("curl -H 'Content-Type: application/json' -d '")


def test_an_error_is_shown_with_its_remedy(page: Page) -> None:
    status, answer = send(page, "AnalyzeSentiment", '{"texts": []}')
    assert status.startswith("400")
    assert "Remedy" in answer["message"]
    assert page.evaluate("document.getElementById('status').classList.contains('failed')") is True


def test_what_a_response_contains_is_shown_as_text(page: Page) -> None:
    text = "<img src=x onerror=alert(1)> in Berlin"
    body = {"texts": [{"id": text, "content": text}], "offsetEncoding": "OFFSET_ENCODING_UTF16_UNITS"}
    _, answer = send(page, "RecognizeEntities", json.dumps(body))
    assert answer["results"][0]["id"] == text
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert page.problems == []


def test_every_control_has_a_name_and_can_be_reached_by_keyboard(page: Page) -> None:
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, textarea')].filter((each) => !each.labels.length)"
        ".map((each) => each.id)"
    )
    assert unnamed == []
    reached = set()
    for _ in range(12):
        page.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"operation", "token", "body", "Send"} <= reached


def test_a_field_is_described_and_a_nested_message_opens(page: Page) -> None:
    words = page.evaluate(
        "(() => { for (let i = 0; i < 3; i++) document.querySelectorAll('#fields details:not([open])')"
        ".forEach((each) => { each.open = true; each.dispatchEvent(new Event('toggle')); });"
        "return document.getElementById('fields').textContent; })()"
    )
    assert "The texts: at least 1, at most 10,000" in words


def test_a_narrow_window_needs_no_horizontal_scrolling(page: Page, tmp_path: Path) -> None:
    page.resize(360, 740)
    try:
        assert page.evaluate("document.documentElement.scrollWidth <= 360")
    finally:
        page.resize(1280, 900)
