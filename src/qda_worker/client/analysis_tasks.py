"""The tasks that `Client.analyze` requests of each document."""

from dataclasses import dataclass
from typing import TypeAlias

from qda_worker.client.enums import EmbeddingKind, LabelScheme, Numbers, SyntaxLayer


@dataclass(frozen=True, slots=True)
class SentimentTask:
    """Request the sentiment of each document, and of its sentences if `sentences` is set."""

    model: str = ""
    sentences: bool = False


@dataclass(frozen=True, slots=True)
class EntityTask:
    """Request the entities of each document; only those with one of `labels`, unless that is empty."""

    model: str = ""
    label_scheme: LabelScheme = LabelScheme.MODEL
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingTask:
    """Request the vectors of each document; may be given up to 8 times, for several models."""

    model: str = ""
    kinds: tuple[EmbeddingKind, ...] = (EmbeddingKind.DENSE,)
    normalize: bool | None = None
    dimensions: int = 0
    numbers: Numbers = Numbers.FLOAT32
    prompt_name: str = ""


@dataclass(frozen=True, slots=True)
class SyntaxTask:
    """Request the sentences and tokens of each document, with some layers; empty: all that the model has."""

    model: str = ""
    layers: tuple[SyntaxLayer, ...] = ()


AnalysisTask: TypeAlias = SentimentTask | EntityTask | EmbeddingTask | SyntaxTask
