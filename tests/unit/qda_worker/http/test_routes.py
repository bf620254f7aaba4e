"""Which route answers, and what a browser of another origin may do."""

from typing import Final

import pytest

from tests.support.echo_worker import echo_server
from tests.support.http_client import SENTIMENT, call

ORIGIN: Final = "https://qda.example.org"
ASKED: Final = "access-control-request-headers"
# What the openai client for JavaScript asks for, among others.
NAMES: Final = "authorization, content-type, x-stainless-lang, x-stainless-retry-count"
BODY: Final = {"texts": [{"content": "Köln"}]}


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), ORIGIN, None),
        ((ORIGIN,), ORIGIN, ORIGIN),
        ((ORIGIN,), "https://evil.example.org", None),
        ((ORIGIN,), "null", None),
        (("*",), "https://any.example.org", "https://any.example.org"),
    ],
)
async def test_only_pages_of_named_origins_may_call(
    origins: tuple[str, ...], origin: str, allowed: str | None
) -> None:
    async with echo_server(cors_origins=origins) as server:
        asked = await call(
            server.http_port, SENTIMENT, b"", f"Origin: {origin}", f"{ASKED}: {NAMES}", method="OPTIONS"
        )
        answer = await call(server.http_port, SENTIMENT, BODY, f"Origin: {origin}")
    assert asked.status == 204
    assert answer.status == 200
    for each in (asked, answer):
        assert each.headers.get("access-control-allow-origin") == allowed
    if allowed:
        assert asked.headers["access-control-allow-headers"] == NAMES
        assert ASKED in asked.headers["vary"]
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"retry-after-ms", "x-should-retry", "www-authenticate"} <= set(exposed)
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert "origin" in answer.headers["vary"]
