"""The four models, and the program that trains one of them. Each is trained in its own process, two at a time.

The heavy libraries are imported in these processes only, so that existing models are found without importing them.
"""

import argparse
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEED: Final = 20240229


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model is trained.

    Attributes:
        key: its key in the catalog.
        module: the module of this package that trains it.
        folder: the folder that it is written to, below the root of the hub.
        score: name of its main score.
    """

    key: str
    module: str
    folder: str
    score: str


RECIPES: Final = (  # the longest first, so that both processes end together
    Recipe("multilingual-embedding", "embedding", "models/qda-demo/multilingual-embedding", "recall_at_1"),
    Recipe("multilingual-paraphrase", "paraphrase", "models/qda-demo/multilingual-paraphrase", "recall_at_1"),
    Recipe("german-sentiment", "sentiment", "models/qda-demo/german-sentiment-bert", "accuracy"),
    Recipe("german-ner", "entities", "wheels", "f1"),
)


def main() -> None:
    """Train one model, write its files and its scores.

    Usage: `python -m tests.support.small_models.recipes MODULE FOLDER SCORES`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("module", choices=[recipe.module for recipe in RECIPES])
    parser.add_argument("folder", type=Path)
    parser.add_argument("scores", type=Path)
    options = parser.parse_args()
    module = importlib.import_module(f"{__package__}.{options.module}")
    build: Callable[[Path, int], dict[str, float]] = module.build
    options.folder.mkdir(parents=True, exist_ok=True)
    options.scores.write_text(json.dumps(build(options.folder, SEED)), "utf-8")


if __name__ == "__main__":
    main()
