"""URLs of files below a base URL."""

from cache_warmer.hub.urls import join_file_name


def test_a_file_name_is_quoted_and_joined_to_its_base() -> None:
    assert join_file_name("https://host/wheels/?sig=1", "a+b.whl") == "https://host/wheels/a%2Bb.whl?sig=1"
