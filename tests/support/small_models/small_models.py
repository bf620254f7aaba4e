"""Where the small models are, and how well they do: what tests and the demo ask for."""

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
        folder: holds all that follows.
        hub: the root that the fake hub serves: `models/ORG/NAME/` and `wheels/`.
        catalog: catalog.yaml, with catalog.lock.json beside it. The wheel's host does not exist: give a wheel base.
        scores: by model key, the held-out figures between 0 and 1, and the `seconds` that its training took.
        seconds: how long making all of them took.
    """

    folder: Path
    hub: Path
    catalog: Path
    scores: Mapping[str, Mapping[str, float]]
    seconds: float


def read_small_models(folder: Path) -> SmallModels:
    """Return the models in a folder that is complete."""
    content = json.loads((folder / SCORES).read_text("utf-8"))
    return SmallModels(folder, folder / "hub", folder / "catalog.yaml", content["models"], content["seconds"])
