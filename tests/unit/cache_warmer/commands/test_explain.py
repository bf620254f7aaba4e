"""`cache-warmer explain`: one reason, all of them, a wrong one; without a home, a cache or a network."""

import io
import json

import pytest

from cache_warmer.cli import cache_warmer
from model_cache.errors import UsageError
from model_cache.explanations import read_explanations


def explain(*arguments: str) -> str:
    out = io.StringIO()
    assert cache_warmer(["explain", *arguments], {}, out, io.StringIO()) == 0
    return out.getvalue()


@pytest.mark.parametrize("given", ["NO_SPACE", "no_space", "no-space", " No_Space "])
def test_a_reason_is_explained_in_plain_text(given: str) -> None:
    text = explain(given)
    assert text.startswith("NO_SPACE\n\nExit code 30.")
    assert "\nRemedy: free some space" in text
    assert "**" not in text


def test_links_name_their_page() -> None:
    assert "air-gap (docs/air-gap.md)" in explain("HUB_UNREACHABLE")


def test_all_reasons_have_a_line() -> None:
    lines = explain().splitlines()
    assert [line.split()[0] for line in lines] == list(read_explanations())
    assert all(len(line.split()) > 3 for line in lines)


def test_json_has_the_same_for_programs() -> None:
    document = json.loads(explain("NO_SPACE", "--format", "json"))
    assert document["reason"] == "NO_SPACE"
    assert document["explanation"] in explain("NO_SPACE")
    assert [row["reason"] for row in json.loads(explain("--format", "json"))] == list(read_explanations())


@pytest.mark.parametrize(
    ("given", "remedy"), [("SPACE", "NO_SPACE"), ("CACHE", "CACHE_"), ("xyz", "`cache-warmer explain`")]
)
def test_an_unknown_reason_is_an_error_with_those_that_are_near(given: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=f'no reason "{given}"') as raised:
        explain(given)
    assert remedy in raised.value.remedy
