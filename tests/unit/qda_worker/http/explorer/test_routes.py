"""The page and the document at their paths."""

import json
from typing import Any, cast

import pytest

from qda_worker.http.exchange import Exchange, Response
from qda_worker.http.explorer.routes import document_routes


async def answer(path: str, method: str = "GET") -> Response:
    exchange = cast("Exchange", type("FakeExchange", (), {"method": method, "path": path})())
    response = await document_routes("1.2.3")[path](exchange)
    assert response is not None
    return response


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_the_page_is_html_with_its_policy(path: str) -> None:
    response = await answer(path)
    headers = dict(response.headers)
    assert response.status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "content-security-policy" in headers


async def test_the_document_is_json_with_the_version() -> None:
    response = await answer("/openapi.json")
    document: dict[str, Any] = json.loads(response.body)
    assert dict(response.headers)["content-type"] == "application/json"
    assert document["info"]["version"] == "1.2.3"


async def test_head_is_answered_as_get() -> None:
    assert (await answer("/docs", "HEAD")).status == 200


async def test_no_header_comes_twice() -> None:
    for path in ("/docs", "/openapi.json"):
        names = [name for name, _ in (await answer(path)).headers]
        assert "x-content-type-options" not in names  # every response of a connection has it
        assert len(names) == len(set(names))


async def test_other_methods_than_get_are_refused() -> None:
    response = await answer("/docs", "POST")
    assert response.status == 405
    assert "GET" in dict(response.headers)["allow"]
