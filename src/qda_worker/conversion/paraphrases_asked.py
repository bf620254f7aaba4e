"""What a FindParaphrases stream asks for: settings first, then two sets of texts by chunk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from qda.v1 import paraphrase_pb2 as pb
from qda_worker.conversion import asked
from qda_worker.errors import ArgumentInvalid, TooManyTexts, Violation
from qda_worker.limits import MAX_SEARCH_BYTES, MAX_SET_TEXTS
from qda_worker.models.base import LongText
from qda_worker.scheduling.work import Lane


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for. At least one of `threshold` (-1 to 1) and `best` (at least 1) is given."""

    model: str
    long_text: LongText
    lane: Lane
    threshold: float | None
    best: int | None


@dataclass(slots=True)
class TextSet:
    """The texts of one set with their ids, by position."""

    texts: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


def search(settings: pb.FindParaphrasesSettings) -> Search:
    """Raises ArgumentInvalid."""
    threshold = settings.threshold if settings.HasField("threshold") else None
    best = settings.best_count if settings.HasField("best_count") else None
    if threshold is None and best is None:
        raise ArgumentInvalid(
            "the settings have neither threshold nor best_count", "set at least one of them",
            violations=[Violation("settings.threshold", "or settings.best_count is required")],
        )  # fmt: skip
    if threshold is not None and not -1.0 <= threshold <= 1.0:  # also refuses NaN
        raise ArgumentInvalid(
            f"settings.threshold is {threshold}", "use a cosine from -1 to 1",
            violations=[Violation("settings.threshold", "must lie between -1 and 1")],
        )  # fmt: skip
    if best is not None and best < 1:
        raise ArgumentInvalid(
            f"settings.best_count is {best}", "use at least 1, or leave it out",
            violations=[Violation("settings.best_count", "must be at least 1")],
        )  # fmt: skip
    return Search(
        model=settings.model,
        long_text=asked.long_text(settings.long_text_policy),
        lane=asked.lane(settings.priority, Lane.BULK),
        threshold=threshold,
        best=best,
    )


async def first_settings(requests: AsyncIterator[pb.FindParaphrasesRequest]) -> Search:
    """The settings, which must be the first part of the stream. Raises ArgumentInvalid."""
    async for request in requests:
        if request.WhichOneof("part") != "settings":
            raise ArgumentInvalid("the stream does not begin with settings", "send settings before any texts")
        return search(request.settings)
    raise ArgumentInvalid("the stream is empty", "send settings, then texts")


async def gather(
    requests: AsyncIterator[pb.FindParaphrasesRequest], most_bytes: int = MAX_SEARCH_BYTES
) -> tuple[TextSet, TextSet]:
    """All texts of the stream after its settings: the first set and the second.

    Raises ArgumentInvalid or TooManyTexts.
    """
    first, second = TextSet(), TextSet()
    size = 0
    sets = {pb.TEXT_SET_UNSPECIFIED: first, pb.TEXT_SET_FIRST: first, pb.TEXT_SET_SECOND: second}
    async for request in requests:
        if request.WhichOneof("part") != "texts":
            raise ArgumentInvalid(
                "settings, or nothing, where texts are expected", "send settings once, then texts only"
            )
        chunk = request.texts
        if chunk.set not in sets:
            raise ArgumentInvalid(
                f"texts.set has no value {chunk.set}", "use TEXT_SET_FIRST or TEXT_SET_SECOND"
            )
        size += chunk.ByteSize()
        if size > most_bytes:
            raise TooManyTexts(
                f"the sets hold more than {most_bytes} bytes of text",
                "compare smaller sets, or send of each text only what the model reads (ListModels: max_length)",
            )
        _add(sets[chunk.set], chunk)
    asked.check_count(len(first.texts), "texts", MAX_SET_TEXTS)
    return first, second


def _add(to: TextSet, chunk: pb.TextChunk) -> None:
    asked.check_texts(chunk.texts)
    if len(to.texts) + len(chunk.texts) > MAX_SET_TEXTS:
        raise TooManyTexts(f"a set holds more than {MAX_SET_TEXTS} texts", "compare smaller sets")
    to.texts.extend(text.content for text in chunk.texts)
    to.ids.extend(text.id for text in chunk.texts)
