"""The tags and texts of HTML that programs write."""

import pytest

from qda_worker.client.readers.html_tokens import Tag, html_tokens


def shown(content: str) -> list[str]:
    """Return the tags as `<name>`, and the texts."""
    return [
        each if isinstance(each, str) else f"<{'/' if each.is_end else ''}{each.name}>"
        for each in html_tokens(content)
    ]


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("<P class=x>a &amp; b<br/>c</p >", ["<p>", "a & b", "<br>", "c", "</p>"]),
        ("a < b > c <3", ["a < b > c <3"]),
        ("<!DOCTYPE html>\n<!-- <p> -->a<?xml?>", ["\n", "a"]),
        ("<!--[if gte mso 9]><xml>x</xml><![endif]--><p>a<!-- b", ["<p>", "a<!-- b"]),
        ("<head><title>x</title></head><style>p</style>a<script>if (a<b) {}</script>b", ["a", "b"]),
        ("<style>a<p>b</p>", ["a", "<p>", "b", "</p>"]),
        ("<script>a<STYLE>b</style>c", ["a", "c"]),
        ("a<p", ["a<p"]),
        ("&lt;p&gt;", ["<p>"]),
        ("", []),
    ],
)
def test_tags_and_texts_are_in_order(content: str, tokens: list[str]) -> None:
    assert shown(content) == tokens


def test_attributes_have_their_values() -> None:
    [tag] = html_tokens("""<a NAME="ts_1_2_A &amp; B" title='x "y"' href = z disabled empty="">""")
    assert isinstance(tag, Tag)
    assert tag.attributes() == {"name": "ts_1_2_A & B", "title": 'x "y"', "href": "z", "empty": ""}
