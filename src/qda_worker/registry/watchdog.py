"""The watchdog: finds models that hang, or whose process stays away, and says so through the registry.

`ModelWatchdog.run` is one asyncio task. Every `POLL_SECONDS` it looks at each loaded model:

- A batch that has been running for too long without reaching a pause point (`models.pauses`). If the model can end it
  (`TextModel.abort`), it does, and the queue tries its texts again one by one. Otherwise the model computes in a thread
  of this process, which nothing can end: the model counts as hung, `liveness` becomes NOT_SERVING, and the kubelet
  restarts the container.
- A process that died and has not been started again for `AWAY_SECONDS`: its model is interrupted. Readiness drops, its
  texts go on waiting.

Both end by themselves when the batch ends or the process is back.

When a batch counts as hung: restarting a slow worker helps nobody, so the limit is generous. It is the greatest of a
minute (`--hang-timeout`), `_TIMES_EXPECTED` times the duration that the queue expects by what it has measured, and a
worst case by the length of the batch.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from qda_worker.models.base import LengthUnit
from qda_worker.registry.engine import Engine
from qda_worker.registry.registry import ModelRegistry, ServedModel
from qda_worker.scheduling.workers import BatchProgress

# Seconds between two inspections.
POLL_SECONDS: Final = 1.0
# Seconds that the process of a model may be away before readiness drops. A large spaCy pipeline loads in ten.
AWAY_SECONDS: Final = 15.0
# A batch counts as hung only at this many times its expected duration.
_TIMES_EXPECTED: Final = 20.0
# Upper bound of the seconds per unit of length: eight times what was measured for bge-m3 with 8,192 tokens on two
# cores, and forty times what was measured for de_core_news_lg.
_WORST_SECONDS: Final = {LengthUnit.TOKENS: 0.1, LengthUnit.CHARACTERS: 0.001}


class ModelWatchdog:
    """Detects loaded models that hang or whose process is away."""

    def __init__(
        self,
        registry: ModelRegistry,
        on_change: Callable[[], Awaitable[None]],
        log: FilteringBoundLogger,
        *,
        hang_seconds: float,
        away_seconds: float = AWAY_SECONDS,
    ) -> None:
        """Create the watchdog; `run` starts it.

        Args:
            registry: the models; `hung` and `interrupted` of each are updated.
            on_change: called when one of those has changed.
            log: the structured log.
            hang_seconds: minimum seconds before a batch counts as hung.
            away_seconds: seconds that the process of a model may be away.
        """
        self._registry = registry
        self._on_change = on_change
        self._log = log
        self._hang_seconds = hang_seconds
        self._away_seconds = away_seconds

    async def run(self) -> None:
        """Inspect all models every `POLL_SECONDS`, until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(POLL_SECONDS)

    async def step(self) -> None:
        """Inspect each model once."""
        changed = [self._inspect(served) for served in self._registry.models.values()]
        if any(changed):
            await self._on_change()

    def _inspect(self, served: ServedModel) -> bool:
        """Update one model. Return whether anything has changed."""
        engine, before = served.engine, (served.hung, served.interrupted)
        if engine is None:
            served.hung = served.interrupted = False
        else:
            served.hung = self._is_hung(engine)
            served.interrupted = engine.model.away_seconds > self._away_seconds
        self._log_change(served, before)
        return before != (served.hung, served.interrupted)

    def _is_hung(self, engine: Engine) -> bool:
        batch = engine.queue.batch_progress()
        if batch is None:
            return False
        limit = self._limit(batch, engine.info.length_unit)
        return batch.seconds > limit and not engine.model.abort(limit)

    def _limit(self, batch: BatchProgress, unit: LengthUnit) -> float:
        return max(self._hang_seconds, batch.expected * _TIMES_EXPECTED, batch.length * _WORST_SECONDS[unit])

    def _log_change(self, served: ServedModel, before: tuple[bool, bool]) -> None:
        key, (hung, interrupted) = served.model.key, before
        if served.hung and not hung:
            self._log.error(
                "model.hung", model=key, remedy="restart the worker; report it if it happens again"
            )
        if served.interrupted and not interrupted:
            self._log.error(
                "model.interrupted", model=key, remedy="none needed at first, its process is started again"
            )
        has_improved = (hung and not served.hung) or (interrupted and not served.interrupted)
        if has_improved and served.engine is not None and not (served.hung or served.interrupted):
            self._log.info("model.resumed", model=key)
