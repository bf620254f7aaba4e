"""Paths and scores of the small models, for the tests and the demo."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCORES: Final = "scores.json"


@dataclass(frozen=True, slots=True)
class SmallModels:
    """A folder of small models.

    Attributes:
        folder: the folder of all files below.
        hub: the root that the fake hub serves: `models/ORG/NAME/` and `wheels/`.
        catalog: catalog.yaml, with catalog.lock.json beside it. The wheel's host does not exist: set a wheel base.
        scores: by model key, the held-out scores between 0 and 1, and the duration of the training in `seconds`.
        seconds: duration of the training of all models.
    """

    folder: Path
    hub: Path
    catalog: Path
    scores: Mapping[str, Mapping[str, float]]
    seconds: float


def read_small_models(folder: Path) -> SmallModels:
    """Return the models in a complete folder."""
    content = json.loads((folder / SCORES).read_text("utf-8"))
    return SmallModels(folder, folder / "hub", folder / "catalog.yaml", content["models"], content["seconds"])
