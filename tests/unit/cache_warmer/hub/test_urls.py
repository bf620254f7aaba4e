"""URLs: shown without secrets, and joined with file names."""

import pytest

from cache_warmer.hub.urls import join_file_name, redacted


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://user:secret@host:8443/a/b?X-Signature=secret#x", "https://host:8443/a/b"),
        ("http://host/a", "http://host/a"),
        ("http://[::1", "(an address that cannot be read)"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, safe: str) -> None:
    assert redacted(url) == safe


def test_a_file_name_is_quoted_and_joined_to_its_base() -> None:
    assert join_file_name("https://host/wheels/?sig=1", "a+b.whl") == "https://host/wheels/a%2Bb.whl?sig=1"
