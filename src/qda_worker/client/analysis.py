"""The analysis of a stream of documents: what can be asked for, and what comes back for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from qda_worker.client.choices import EmbeddingKind, LabelScheme, Numbers
from qda_worker.client.results import Embedding, Entities, ItemError, Provenance, Sentiment, Timings


@dataclass(frozen=True, slots=True)
class SentimentTask:
    """Asks for each document's sentiment, and that of its sentences if `sentences`."""

    model: str = ""
    sentences: bool = False


@dataclass(frozen=True, slots=True)
class EntityTask:
    """Asks for each document's entities; of `labels` only, if any are named."""

    model: str = ""
    label_scheme: LabelScheme = LabelScheme.MODEL
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingTask:
    """Asks for each document's vectors; may be given up to 8 times, for several models."""

    model: str = ""
    kinds: tuple[EmbeddingKind, ...] = (EmbeddingKind.DENSE,)
    normalize: bool | None = None
    dimensions: int = 0
    numbers: Numbers = Numbers.FLOAT32


AnalysisTask: TypeAlias = SentimentTask | EntityTask | EmbeddingTask


@dataclass(frozen=True, slots=True)
class AnalysisProvenance:
    """The models that answer a stream: None, or empty, for what was not asked for."""

    sentiment: Provenance | None
    entities: Provenance | None
    embeddings: tuple[Provenance, ...]


@dataclass(frozen=True, slots=True, eq=False)  # holds vectors
class DocumentAnalysis:
    """The analysis of one document; what was not asked for is None, or empty.

    Attributes:
        index: position of the document among those that were sent, from 0.
        error: why the whole document was not analysed. Each task has an error of its own beside it.
    """

    index: int
    id: str
    error: ItemError | None
    sentiment: Sentiment | None
    entities: Entities | None
    embeddings: tuple[Embedding, ...]
    provenance: AnalysisProvenance
    timings: Timings

    @property
    def ok(self) -> bool:
        """Whether all that was asked for was answered."""
        parts = [self.sentiment, self.entities, *self.embeddings]
        return self.error is None and all(part is None or part.ok for part in parts)
