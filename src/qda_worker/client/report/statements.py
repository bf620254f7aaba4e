"""What a report shows, as plain values: statements with their results, and the models. No I/O."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePath

from qda_worker.client.enums import SentimentLabel
from qda_worker.client.readers.segment import Segment
from qda_worker.client.results import Entity, Provenance, Vector


@dataclass(frozen=True, slots=True)
class Link:
    """Another statement of like meaning.

    Attributes:
        index: its position among all statements.
        score: the cosine of their vectors.
    """

    index: int
    score: float


@dataclass(slots=True, eq=False)  # holds a vector
class Statement:
    """A segment with its results.

    Attributes:
        segment: the text, and where it is from.
        sentiment: None if it was not computed.
        probability: of that label; None if there is none.
        positive, negative: probabilities of these labels.
        entities: in order of their position, in code points.
        vector: None if there is none.
        links: the most similar statements first.
        error: why a result is missing; empty if none is.
    """

    segment: Segment
    sentiment: SentimentLabel | None = None
    probability: float | None = None
    positive: float = 0.0
    negative: float = 0.0
    entities: Sequence[Entity] = ()
    vector: "Vector | None" = None
    links: list[Link] = field(default_factory=list)
    error: str = ""


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model that computed a part of the report.

    Attributes:
        task: `sentiment`, `entities`, `embedding` or `paraphrases`.
        provenance: the model and the worker.
        licence: of the model; empty if unknown.
    """

    task: str
    provenance: Provenance
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page.

    Attributes:
        title: its heading.
        statements: in the order of the input.
        models: what computed the results.
        threshold: the lowest score of a link.
        created: when the report was written.
    """

    title: str
    statements: Sequence[Statement]
    models: Sequence[UsedModel]
    threshold: float
    created: datetime

    @property
    def speakers(self) -> list[str]:
        """The speakers, in the order of their first statement."""
        return list(dict.fromkeys(each.segment.speaker for each in self.statements if each.segment.speaker))

    @property
    def sources(self) -> list[str]:
        """The sources, in the order of their first statement."""
        return list(dict.fromkeys(each.segment.source for each in self.statements))

    @property
    def source_names(self) -> dict[str, str]:
        """The name on the page of each source: its path below the folder that all have in common, with slashes.

        The page may be given to others, who need not know the folders of this machine.
        """
        folders = {str(PurePath(source).parent) for source in self.sources}
        try:
            common = os.path.commonpath(folders)
        except ValueError:  # absolute and relative paths
            return {source: source for source in self.sources}
        return {source: Path(os.path.relpath(source, common)).as_posix() for source in self.sources}
