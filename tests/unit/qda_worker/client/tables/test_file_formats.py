"""CoNLL-U takes results that have tokens, and says what is missing in others."""

import pytest

from model_cache.errors import UsageError
from qda_worker.client.tables.file_formats import require_syntax


@pytest.mark.parametrize(
    "options", [{"command": "syntax"}, {"command": "analyze", "tasks": ["sentiment", "syntax=de"]}]
)
def test_results_with_tokens_are_taken(options: dict[str, object]) -> None:
    require_syntax(options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"command": "entities"}, "results of entities have no tokens"),
        ({"command": "analyze", "tasks": ["entities"]}, "the analysis has no task syntax"),
    ],
)
def test_others_are_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        require_syntax(options)
    assert "--task syntax" in caught.value.remedy
