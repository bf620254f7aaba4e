"""What every JSON document of a program must have: `help` in each object with the reason of a failure."""

from collections.abc import Iterator
from typing import Any

from model_cache.explanations import explanation_hint


def explained(document: Any) -> Any:
    """Return a document of a program's output, after a check of each object in it."""
    for each in _objects(document):
        reason = each.get("reason", "OK")
        expected = None if reason == "OK" else explanation_hint(reason) or None
        assert each.get("help") == expected, each
    return document


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(part)
