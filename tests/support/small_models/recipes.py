"""The four models, and the program that makes one of them: each in a process of its own, so that two train at once.

The heavy libraries are imported here and nowhere above, so that whoever finds the models already made pays nothing.
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
    """A model: its module here, the folder below the hub's root that it is written to, and its score that counts."""

    key: str
    module: str
    folder: str
    score: str


RECIPES: Final = (  # the longest first, so that both lanes end together
    Recipe("multilingual-embedding", "embedding", "models/qda-demo/multilingual-embedding", "recall_at_1"),
    Recipe("multilingual-paraphrase", "paraphrase", "models/qda-demo/multilingual-paraphrase", "recall_at_1"),
    Recipe("german-sentiment", "sentiment", "models/qda-demo/german-sentiment-bert", "accuracy"),
    Recipe("german-ner", "entities", "wheels", "f1"),
)


def main() -> None:
    """`python -m tests.support.small_models.recipes MODULE FOLDER SCORES`: train, write the files and the scores."""
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
