"""The small models as the plain libraries load and run them, from the files alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from qda_worker.models.sentiment import clean_german_sentiment
from tests.support.small_models import SmallModels
from tests.support.small_models.catalog import ORGANIZATION

Entity = tuple[int, int, str]


def repository(models: SmallModels, name: str) -> Path:
    return models.hub / "models" / ORGANIZATION / name


def sentiment_labels(models: SmallModels, texts: Sequence[str]) -> list[str]:
    folder = str(repository(models, "german-sentiment-bert"))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder)
    labels: list[str] = []
    for start in range(0, len(texts), 128):
        cleaned = [clean_german_sentiment(text) for text in texts[start : start + 128]]
        batch = tokenizer(cleaned, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            best = model(**batch).logits.argmax(dim=1).tolist()
        labels += [model.config.id2label[number] for number in best]
    return labels


def sentence_transformer(models: SmallModels, name: str) -> SentenceTransformer:
    return SentenceTransformer(str(repository(models, name)), device="cpu")


def unit_vectors(model: SentenceTransformer, texts: Sequence[str]) -> torch.Tensor:
    return model.encode(list(texts), normalize_embeddings=True, convert_to_tensor=True)


def entities(pipeline: Path, texts: Sequence[str]) -> list[set[Entity]]:
    nlp = spacy.load(pipeline)
    return [{(each.start_char, each.end_char, each.label_) for each in doc.ents} for doc in nlp.pipe(texts)]


def pipeline_folder(installed: Path) -> Path:
    (folder,) = installed.glob("*/*/config.cfg")
    return folder.parent


def f1(found: Sequence[set[Entity]], right: Sequence[set[Entity]]) -> float:
    both = sum(len(one & other) for one, other in zip(found, right, strict=True))
    return 2 * both / (sum(map(len, found)) + sum(map(len, right)))
