"""Catalog texts for tests, assertions about their problems, and Hypothesis strategies for models."""

from typing import Final

import pytest
from hypothesis import strategies as st

from model_cache.catalog.catalog import HuggingFaceSource, Model, Serving, SpacySource, Task
from model_cache.catalog.parse import parse_catalog
from model_cache.errors import CatalogInvalid, CatalogProblem
from model_cache.reasons import Reason

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
SHA256: Final = "ab" * 32

SENTIMENT: Final = f"""\
  - key: mood
    task: sentiment
    huggingface:
      repository: org/mood
      revision: {COMMIT}
      files: [config.json, model.safetensors]
"""
ENTITIES: Final = f"""\
  - key: names
    task: entities
    spacy:
      package: de_test
      version: 3.8.0
      url: https://x.test/files/de_test-3.8.0-py3-none-any.whl
      sha256: {SHA256}
"""


def catalog(*models: str) -> str:
    """Return a catalog of these models' texts; the first model begins in line 4."""
    return "apiVersion: qda/v1\nkind: Catalog\nmodels:\n" + "".join(models)


def in_sentiment(old: str, new: str) -> str:
    """Return a catalog of `SENTIMENT` with one part replaced."""
    assert old in SENTIMENT
    return catalog(SENTIMENT.replace(old, new))


def in_entities(old: str, new: str) -> str:
    """Return a catalog of `ENTITIES` with one part replaced."""
    assert old in ENTITIES
    return catalog(ENTITIES.replace(old, new))


def problems_of(text: str) -> tuple[CatalogProblem, ...]:
    """Return the problems of a catalog that must not parse."""
    with pytest.raises(CatalogInvalid) as caught:
        parse_catalog(text, "c.yaml")
    assert caught.value.reason is Reason.CATALOG_INVALID
    for problem in caught.value.problems:
        assert "\n" not in str(problem)
        assert str(problem) in str(caught.value)
    return caught.value.problems


def assert_one_problem(text: str, line: int, key: str, parts: list[str]) -> None:
    """Assert that a catalog has exactly one problem at a line and key, whose message has these parts."""
    problems = [problem for problem in problems_of(text) if (problem.line, problem.key) == (line, key)]
    assert len(problems) == 1, problems_of(text)
    message = str(problems[0])
    assert message.startswith(f"c.yaml:{line}: {key}{': ' if key else ''}found ")
    for part in parts:
        assert part in message


_WORD: Final = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_HUB_SOURCES: Final = st.builds(
    HuggingFaceSource,
    repository=st.builds("{}/{}".format, _WORD, _WORD),
    revision=st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
    files=st.lists(_WORD, min_size=1, max_size=5).map(tuple),
)
_SPACY_SOURCES: Final = st.builds(
    SpacySource,
    package=_WORD,
    version=st.just("3.8.0"),
    url=_WORD,
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)
# Any model.
MODELS: Final = st.builds(
    Model,
    key=_WORD,
    task=st.sampled_from(Task),
    source=_HUB_SOURCES | _SPACY_SOURCES,
    serving=st.just(Serving()),
)

# Any models with keys of their own.
CATALOGS: Final = st.lists(MODELS, min_size=1, max_size=5, unique_by=lambda model: model.key)
