"""A model in service: the loaded model together with its queue."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model_cache.catalog.catalog import Model
from model_cache.prepared_store import StoredForm
from qda_worker.models.base import ModelInfo, Options, TextModel
from qda_worker.scheduling.jobs import Caller, Lane, Outcome, PreparedAhead
from qda_worker.scheduling.load_turns import LoadTurns
from qda_worker.scheduling.observer import NULL_OBSERVER, Observer
from qda_worker.scheduling.queue import ModelQueue
from qda_worker.scheduling.result_cache import ModelResults, ResultCache
from qda_worker.scheduling.turns import ComputeTurns

# Compute threads up to which spaCy takes turns with the other models. It has one thread itself, for which many CPUs
# must not wait: with more, it computes beside the others.
_MAX_THREADS_FOR_SPACY_TURNS: Final = 2


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded model and its queue. The engine owns both, and closes them.

    Attributes:
        results: its part of the result cache; None without one.
    """

    model: TextModel[Any, Any, Any]
    queue: ModelQueue[Any, Any, Any]
    results: ModelResults | None = None

    @property
    def info(self) -> ModelInfo:
        """Static facts about the model."""
        return self.model.info

    @property
    def log_fields(self) -> dict[str, object]:
        """What computes the model, for the log: names, the measured milliseconds, and the size of a batch."""
        engines = self.info.engines
        if engines is None:
            return {}
        fields: dict[str, object] = {
            "engines": list(engines.names),
            "measured_ms": {
                f"{one.engine} {one.texts}x{one.tokens}": round(one.seconds * 1000, 1)
                for one in engines.timings
            },
            "batch_tokens": self.model.budget.length,
            "unavailable": engines.unavailable,
        }
        return {name: value for name, value in fields.items() if value}

    async def answer(
        self,
        texts: Sequence[str],
        options: Options,
        lane: Lane,
        deadline: float | None,
        caller: Caller,
        prepared: Sequence[PreparedAhead] = (),
    ) -> list[Outcome[Any]]:
        """Return one outcome per text, see `ModelQueue.submit`. Cancelling the task drops what is not computed."""

        async def compute(texts: Sequence[str], prepared: Sequence[PreparedAhead]) -> list[Outcome[Any]]:
            return await self.queue.answer(
                texts, options, lane=lane, deadline=deadline, caller=caller, prepared=prepared
            )

        if self.results is None:
            return await compute(texts, prepared)
        return await self.results.answer(texts, options, prepared, compute)

    def close(self, timeout: float) -> None:
        """Refuse what waits, wait at most `timeout` seconds for the running batch, then close the model."""
        self.queue.close(drain=False, timeout=timeout)
        self.model.close()
        if self.results is not None:
            self.results.close()


def start_engine(
    model: Model,
    path: Path,
    pool: Executor,
    *,
    long_pool: Executor | None = None,
    device: str,
    engine: str,
    threads: int,
    on_failure: Callable[[str], None],
    observer: Observer = NULL_OBSERVER,
    turns: ComputeTurns | None = None,
    load_turns: LoadTurns | None = None,
    form: StoredForm | None = None,
    result_cache: ResultCache | None = None,
) -> Engine:
    """Load a model, test it with one text, and start its queue. Blocks for seconds to minutes.

    Args:
        model: the catalog entry.
        path: folder of the model's files.
        pool: executor for tokenization.
        long_pool: executor for the tokenization of long texts; None for `pool`.
        device: auto, cpu or cuda.
        engine: auto, torch or openvino.
        threads: number of threads for the computation.
        on_failure: called once with the reason, from another thread, if the model dies.
        observer: receives the events of the queue.
        turns: those of all computations that share the CPUs; None for no others.
        load_turns: those of all loads; None for no others.
        form: the prepared form of a model that is not served in fp32, with intact files.
        result_cache: keeps results; None for no cache.

    Raises:
        ModelCacheError: when the model cannot be loaded.
    """
    # Imported here because it is heavy: the server is listening by the time the first model is loaded.
    from qda_worker.models.loading import load_model

    if model.task.uses_spacy and threads > _MAX_THREADS_FOR_SPACY_TURNS:
        turns = None
    load_turns = load_turns or LoadTurns(ComputeTurns())
    with load_turns.loading():
        loaded = load_model(
            model,
            path,
            device=device,
            threads=threads,
            engine=engine,
            form=form,
            take_turn=load_turns.measuring,
        )
    queue = ModelQueue(
        loaded, pool, long_pool=long_pool, on_failure=on_failure, observer=observer, turns=turns
    )
    return Engine(loaded, queue, None if result_cache is None else result_cache.open(model.key, observer))
