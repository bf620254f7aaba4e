"""Pins are replaced in the text of the catalog, and nothing else of it changes."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_warmer.pinning.catalog_text import apply_edits, find_pins, parse_with_placeholders
from model_cache.catalog.catalog import HuggingFaceSource, SpacySource
from model_cache.catalog.parse import parse_catalog
from model_cache.errors import CatalogInvalid
from tests.support.catalog_texts import COMMIT, ENTITIES, SENTIMENT, SHA256, catalog

NEW: Final = "fedcba9876543210fedcba9876543210fedcba98"


def pinned(text: str) -> str:
    """Return the text with each branch replaced by one commit and each missing sha256 filled in."""
    edits = {}
    for pins in find_pins(text):
        if pins.reference and pins.revision is not None:
            edits[pins.revision] = NEW
        if pins.lacks_sha256 and pins.sha256 is not None:
            edits[pins.sha256] = SHA256
    return apply_edits(text, edits)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("revision: main", f"revision: {NEW}"),
        ("revision: 'main'  # moves", f"revision: '{NEW}'  # moves"),
        ('revision:   "v1.0" # a tag', f'revision:   "{NEW}" # a tag'),
        ("revision: 1.0", f"revision: {NEW}"),
        ("revision: refs/pr/1", f"revision: {NEW}"),
        ("revision: 0123abc", f"revision: {NEW}"),
        ("revision: Ünïcode", "revision: Ünïcode"),
        ("revision: ../main", "revision: ../main"),
        (f"revision: {COMMIT.upper()}", f"revision: {COMMIT.upper()}"),
        (f"revision: {COMMIT}", f"revision: {COMMIT}"),
        ("revision:", "revision:"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_branch_is_replaced_by_a_commit_in_its_place(before: str, after: str, end: str) -> None:
    template = "# Kommentar: ä, 🙂\n" + catalog(SENTIMENT, ENTITIES)
    text = template.replace(f"revision: {COMMIT}", before).replace("\n", end)

    assert pinned(text) == template.replace(f"revision: {COMMIT}", after).replace("\n", end)


def test_a_catalog_on_one_line_is_pinned_too() -> None:
    text = (
        "{apiVersion: qda/v1, kind: Catalog, models: [{key: a, task: sentiment, "
        "huggingface: {repository: o/a, revision: main, files: [x]}}, {key: b, task: entities, "
        "spacy: {package: de_test, version: 3.8.0, url: 'https://x.test/de_test-3.8.0-py3-none-any.whl'}}]}"
    )

    first, second = parse_catalog(pinned(text), "x").models

    assert isinstance(first.source, HuggingFaceSource)
    assert first.source.revision == NEW
    assert isinstance(second.source, SpacySource)
    assert second.source.sha256 == SHA256


@pytest.mark.parametrize(
    "written", ["      sha256:\n", "      sha256: ''\n", "      sha256: # unknown\n", "", "      sha256: ~\n"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_missing_hash_of_a_wheel_is_inserted(written: str, end: str) -> None:
    text = catalog(ENTITIES, SENTIMENT).replace(f"      sha256: {SHA256}\n", written).replace("\n", end)
    comments = [line for line in text.splitlines() if "#" in line]

    after = pinned(text)

    source = parse_catalog(after, "x").models[0].source
    assert isinstance(source, SpacySource)
    assert source.sha256 == SHA256
    assert all(comment.partition("#")[2] in after for comment in comments)
    assert after.count("\r\n") == (after.count("\n") if end == "\r\n" else 0)


def test_a_malformed_hash_is_reported_and_not_replaced() -> None:
    text = catalog(ENTITIES).replace(SHA256, SHA256[1:])

    with pytest.raises(CatalogInvalid, match="63 hex digits"):
        parse_with_placeholders(text, "x")


def test_other_mistakes_are_reported_with_their_own_lines() -> None:
    text = catalog(SENTIMENT.replace(COMMIT, "main").replace("task: sentiment", "task: sentimnet"))

    with pytest.raises(CatalogInvalid) as caught:
        parse_with_placeholders(text, "x")

    assert [(problem.line, problem.key) for problem in caught.value.problems] == [(5, "models[0].task")]


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    assert all(pins.reference == "" or pins.revision is not None for pins in find_pins(text))
