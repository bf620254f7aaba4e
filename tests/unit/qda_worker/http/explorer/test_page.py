"""The page as a response: a policy that allows its own style and script only."""

import re
from base64 import b64encode
from hashlib import sha256

from qda_worker.http.explorer.page import build_page


def test_the_policy_allows_what_is_in_the_page_and_nothing_from_elsewhere() -> None:
    body, headers = build_page()
    page, policy = body.decode(), dict(headers)["content-security-policy"]
    for name in ("style", "script"):
        [content] = re.findall(f"<{name}>(.*?)</{name}>", page, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    for part in ("connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
        assert part in policy
    assert "unsafe" not in policy


def test_the_page_names_no_other_address() -> None:
    page = build_page()[0].decode()
    assert not re.search(r"\b(https?|wss?):|[\"'(]//", page)
    assert "innerHTML" not in page
    assert not re.search(r"""\son[a-z]+=|style=["']""", page)
