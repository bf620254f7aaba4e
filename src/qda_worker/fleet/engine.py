"""A loaded model with its queue: what a member of the fleet answers with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_cache.catalogs.catalog import Model
from qda_worker.models.base import ModelInfo, Options, TextModel
from qda_worker.scheduling.model_queue import ModelQueue
from qda_worker.scheduling.observing import SILENT, Observer
from qda_worker.scheduling.work import Lane, Outcome


@dataclass(frozen=True, slots=True)
class Engine:
    """Owns both: the queue ends before the model is closed."""

    model: TextModel[Any, Any, Any]
    queue: ModelQueue[Any, Any, Any]

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self.model.info

    async def answer(
        self, texts: Sequence[str], options: Options, lane: Lane, deadline: float | None, caller: str
    ) -> list[Outcome[Any]]:
        """One outcome a text; see `ModelQueue.submit`. Cancelling the task drops what is not computed."""
        return await self.queue.answer(texts, options, lane=lane, deadline=deadline, caller=caller)

    def close(self, timeout: float) -> None:
        """Refuse what waits, wait at most `timeout` seconds for the batch that runs, and let go of the model."""
        self.queue.close(drain=False, timeout=timeout)
        self.model.close()


def start_engine(
    model: Model,
    path: Path,
    pool: Executor,
    *,
    device: str,
    threads: int,
    on_failure: Callable[[str], None],
    observer: Observer = SILENT,
) -> Engine:
    """Load a model and have it answer once; blocks for seconds. Raises ModelCacheError.

    pool: where texts are tokenised. on_failure: called once, from another thread, when the model has died.
    observer: hears of what the queue does.
    """
    from qda_worker.models.loading import (
        load_model,
    )  # here: what it imports is heavy, and the server listens already

    loaded = load_model(model, path, device=device, threads=threads)
    return Engine(loaded, ModelQueue(loaded, pool, on_failure=on_failure, observer=observer))
