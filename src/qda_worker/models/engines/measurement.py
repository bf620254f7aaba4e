"""How long engines take for the shapes that a worker serves, measured in a limited time.

A `Measurement` belongs to one network. It ends after MEASUREMENT_SECONDS, whatever is measured: a pass that is still
running then is abandoned at its next pause point, between two layers of torch or two graphs of OpenVINO. An engine may
have no pause points, so its first pass is not begun if there is less time left than the reference took. So a slow CPU,
or a quota of less than one CPU, makes the measurement coarser and not longer: its batches have fewer texts.

The passes of several engines are interleaved, and the least time counts, because the machine may have other work. The
first pass of OpenVINO with a new size takes up to a quarter longer (measured), so it computes twice at first. Work
of this process does not count: a measurement holds a turn at the CPUs (`pauses.TakeTurn`), gives it away at pause
points to what is due, and leaves out the time until it has the next one.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

import torch

from qda_worker.models.base import EngineTiming
from qda_worker.models.engines.base import TOLERANCE, EncoderEngine, EngineName
from qda_worker.models.pauses import BatchAbandoned, pausing

MEASUREMENT_SECONDS: Final = 2.0
# Tokens of each measured text.
TOKENS: Final = 32
# Shares of the time after which one text, and a batch of several, are measured no longer.
_SINGLE_SHARE: Final = 0.3
_BATCH_SHARE: Final = 0.85
# Numbers of texts of the measured batches: the largest one that fits into the time.
_BATCHES: Final = (32, 16, 8, 4, 2)
# A text of a batch takes at most about this share of the time of one text alone.
_TEXT_IN_BATCH: Final = 0.6
# Tokens of the batches among which the batch size is chosen. The first one needs no measurement. 4,096 take
# OpenVINO another gigabyte of buffers with the shape of XLM-R base (measured: 1,024 0.8, 2,048 1.1, 4,096 1.8 GB).
BATCH_TOKENS: Final = (1024, 2048)
# How much faster per token a larger batch must be: results of smaller ones are there sooner.
_MIN_BATCH_GAIN: Final = 1.05
# Longest time of a batch that is larger than the first one of BATCH_TOKENS, in seconds.
_MAX_BATCH_SECONDS: Final = 0.5
# Repetitions beyond which the least time hardly changes.
_MAX_REPETITIONS: Final = 10
# A comparison ends after so many repetitions if the last one made no engine faster by this factor ...
_STEADY_REPETITIONS: Final = 3
_STEADY_GAIN: Final = 1.02
# ... and after so many if one engine takes so many times as long as another one.
_CLEAR_REPETITIONS: Final = 2
_CLEAR_RATIO: Final = 1.5

_LOG: Final = logging.getLogger(__name__)


class Measurement:
    """Measures the engines of one network. The time begins with the object."""

    def __init__(
        self,
        width: int,
        *,
        clock: Callable[[], float] = time.perf_counter,
        seconds: float = MEASUREMENT_SECONDS,
        give_way: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin.

        Args:
            width: hidden size of the network.
            clock: seconds.
            seconds: after which everything is over.
            give_way: lets other work compute if it is due; called at every pause point. Its time does not count.
        """
        self._width, self._wall_clock, self._seconds, self._give_way = width, clock, seconds, give_way
        self._away = 0.0  # seconds in which other work computed
        self._began = clock()
        self._timings: dict[tuple[str, int], float] = {}

    @property
    def timings(self) -> tuple[EngineTiming, ...]:
        """What was measured, in this order."""
        return tuple(
            EngineTiming(name, texts, TOKENS, seconds) for (name, texts), seconds in self._timings.items()
        )

    def compare_single(self, engines: Sequence[EncoderEngine], tolerance: float | None) -> list[float]:
        """Return the least seconds of each engine for one short text, as `compare`."""
        return self.compare(engines, 1, _SINGLE_SHARE, tolerance)

    def compare_batch(
        self, engines: Sequence[EncoderEngine], single: Sequence[float], tolerance: float | None
    ) -> list[float] | None:
        """Return the least seconds of each engine for a batch, as `compare`; None if there is no time for one.

        Args:
            engines: the engines.
            single: what `compare_single` returned.
            tolerance: as for `compare`.
        """
        left = self._end(_BATCH_SHARE) - self._clock()
        passes = sum(seconds * _first_passes(engine) for engine, seconds in zip(engines, single, strict=True))
        texts = [count for count in _BATCHES if count * passes * _TEXT_IN_BATCH <= left]
        if not texts:
            return None
        found = self.compare(engines, texts[0], _BATCH_SHARE, tolerance)
        return found if any(map(math.isfinite, found)) else None

    def compare(
        self, engines: Sequence[EncoderEngine], texts: int, share: float = 1.0, tolerance: float | None = None
    ) -> list[float]:
        """Return the least seconds of each engine for a batch.

        Args:
            engines: the engines; the first one is the reference.
            texts: number of texts, of TOKENS tokens each.
            share: of the whole time, after which no further repetition begins.
            tolerance: greatest difference from the reference, relative to its root mean square; None: any.

        Returns:
            Infinity for an engine that raised, was not ready in time, or differed by more than `tolerance`.
        """
        states = random_states(texts, TOKENS, self._width)
        best = [math.inf] * len(engines)
        outputs: list[torch.Tensor | None] = [None] * len(engines)
        for repetition in range(_MAX_REPETITIONS):
            former = list(best)
            for number in _order(engines, first=not repetition):
                first = not repetition and not math.isfinite(best[number])
                if self._is_over(share, best[0] if number else 0.0, first=first):
                    break
                seconds, output = self._pass(engines[number], states)
                if seconds < best[number]:
                    best[number], outputs[number] = seconds, output
            if _is_settled(repetition + 1, former, best):
                break
        if tolerance is not None:
            _drop_differing(engines, best, outputs, tolerance)
        for engine, seconds in zip(engines, best, strict=True):
            if math.isfinite(seconds):
                self._timings[str(engine.name), texts] = seconds
        return best

    def batch_tokens(self, engine: EncoderEngine) -> int:
        """Return at how many tokens in a batch the engine is fastest, of BATCH_TOKENS.

        A larger batch is tried while the time allows, and while it takes less than _MAX_BATCH_SECONDS.
        """
        chosen, previous, speed = BATCH_TOKENS[0], 0.0, 0.0
        for tokens in BATCH_TOKENS:
            texts = tokens // TOKENS
            seconds = self._timings.get((str(engine.name), texts), math.inf)
            if not math.isfinite(seconds):
                expected = previous * 2
                if not previous or expected > _MAX_BATCH_SECONDS or self._clock() + expected > self._end(1.0):
                    break
                (seconds,) = self.compare([engine], texts)
                if not math.isfinite(seconds):
                    break
            previous = seconds
            if tokens / seconds > speed * _MIN_BATCH_GAIN:
                chosen, speed = tokens, tokens / seconds
        return chosen

    def _clock(self) -> float:
        """Return the seconds without those of other work."""
        return self._wall_clock() - self._away

    def _is_over(self, share: float, reference: float, *, first: bool) -> bool:
        """Return whether no further pass begins; the first ones of all engines do if the whole time allows.

        Args:
            share: of the whole time, for further passes.
            reference: seconds that the reference took; 0 for the reference itself.
            first: whether it is the first pass of an engine.
        """
        now = self._clock()
        if first:
            return reference > 0.0 and now + reference > self._end(1.0)
        return now >= self._end(share)

    def _end(self, share: float) -> float:
        return self._began + self._seconds * share

    def _pass(self, engine: EncoderEngine, states: torch.Tensor) -> tuple[float, torch.Tensor | None]:
        began = self._clock()
        try:
            with torch.inference_mode(), pausing(self._pause):
                output = engine.forward(states, None)
        except BatchAbandoned:
            return math.inf, None
        except Exception:  # noqa: BLE001  # libraries raise anything
            _LOG.warning("engine %s is not used: it failed while it was measured", engine.name, exc_info=True)
            return math.inf, None
        return self._clock() - began, output

    def _pause(self) -> None:
        began = self._wall_clock()
        if self._give_way():
            self._away += self._wall_clock() - began
        if self._clock() >= self._end(1.0):
            raise BatchAbandoned


def _first_passes(engine: EncoderEngine) -> int:
    """Return how many passes an engine needs for a time that later passes of the same size take too."""
    return 1 if engine.name is EngineName.TORCH else 2


def _order(engines: Sequence[EncoderEngine], *, first: bool) -> list[int]:
    """Return the positions of the engines in the order of the passes of a repetition."""
    return [
        number for number, engine in enumerate(engines) for _ in range(_first_passes(engine) if first else 1)
    ]


def _drop_differing(
    engines: Sequence[EncoderEngine],
    best: list[float],
    outputs: Sequence[torch.Tensor | None],
    tolerance: float,
) -> None:
    """Set the seconds of each engine that differs too much from the first one to infinity."""
    for number, output in enumerate(outputs):
        if output is None or outputs[0] is None:
            continue
        difference = relative_difference(output, outputs[0])
        if not difference <= tolerance:
            _LOG.warning(
                "engine %s is not used: it differs from torch by %.1e", engines[number].name, difference
            )
            best[number] = math.inf


def _is_settled(repetitions: int, former: Sequence[float], best: Sequence[float]) -> bool:
    """Return whether further repetitions would hardly change which engine is fastest.

    Args:
        repetitions: number of those that have ended.
        former: the least seconds of each engine before the last repetition.
        best: the same after it.
    """
    if repetitions >= _CLEAR_REPETITIONS and max(best) >= min(best) * _CLEAR_RATIO:
        return True
    return repetitions >= _STEADY_REPETITIONS and all(
        not now * _STEADY_GAIN < before for before, now in zip(former, best, strict=True)
    )


def tolerance_failure(plain: EncoderEngine, other: EncoderEngine, width: int) -> str:
    """Compare two engines on a small padded batch. Return why the other one cannot be used, as a predicate, or ""."""
    texts, tokens = 2, 12
    states, mask = random_states(texts, tokens, width), torch.ones(texts, tokens, dtype=torch.bool)
    mask[0, 5:] = False
    square = mask[:, None, None, :].expand(texts, 1, tokens, tokens)
    with torch.inference_mode():
        expected = plain.forward(states, square)[mask]
        try:
            found = other.forward(states, square)[mask]
        except Exception as error:  # noqa: BLE001  # libraries raise anything
            _LOG.debug("engine %s failed", other.name, exc_info=True)
            return f"it raised {type(error).__name__} on a test"
    difference = relative_difference(found, expected)
    return "" if difference <= TOLERANCE else f"its numbers differ from torch's by {difference:.1e}"


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the greatest difference, relative to the root mean square of what was expected; NaN if not finite."""
    return float((found - expected).abs().max() / expected.square().mean().sqrt())


def random_states(texts: int, tokens: int, width: int) -> torch.Tensor:
    """Return embeddings to measure with, float32 [texts, tokens, width], always the same ones."""
    return torch.randn(texts, tokens, width, generator=torch.Generator().manual_seed(1))
