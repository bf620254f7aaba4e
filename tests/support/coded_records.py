"""Records of results for tests of what is made from them."""

from typing import Any, Final

ANALYZE: Final[dict[str, Any]] = {
    "command": "analyze",
    "tasks": ["sentiment", "entities"],
    "offsets": "code-points",
}


def provenance(model: str) -> dict[str, Any]:
    """Return the provenance of a model."""
    return {
        "model": model,
        "source": f"example/{model}",
        "revision": "0123456789abcdef0123",
        "precision": "fp32",
        "worker_version": "1.2.3",
    }


def analysis(
    text: str, *, names: tuple[str, ...] = (), label: str = "positive", **fields: Any
) -> dict[str, Any]:
    """Return a record of `analyze`; each of `names` is an entity at the place where it is first in the text."""
    entities = [
        {
            "text": name,
            "label": "PER",
            "model_label": "PER",
            "start": text.index(name),
            "end": text.index(name) + len(name),
        }
        for name in names
    ]
    sentiment = {
        "label": label,
        "probabilities": {"positive": 0.9, "negative": 0.0625, "neutral": 0.0375},
        "sentences": [],
        "offsets": "code-points",
    }
    return {
        "id": "1",
        "text": text,
        "source": "interview.txt",
        "error": None,
        "sentiment": sentiment,
        "entities": {"entities": entities, "offsets": "code-points"},
        "embeddings": [],
        "provenance": {
            "sentiment": provenance("feelings"),
            "entities": provenance("names"),
            "embeddings": [],
        },
        "options": ANALYZE,
        **fields,
    }
