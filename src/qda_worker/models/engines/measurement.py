"""How long engines take for the shapes that a worker serves, measured in a limited time.

A `Measurement` belongs to one network. It ends after MEASUREMENT_SECONDS, whatever is measured: a pass that is still
running then is abandoned at its next pause point, between two layers. So a slow CPU, or a quota of less than one CPU,
makes the measurement coarser and not longer: its batches have fewer texts.

The passes of several engines are interleaved, and the least time counts, because the machine may have other work.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

import torch

from qda_worker.models.base import EngineTiming
from qda_worker.models.engines.base import TOLERANCE, EncoderEngine
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
# Padded tokens of the batches among which the batch size is chosen. The first one needs no measurement. 4,096 take
# OpenVINO another gigabyte of buffers with the shape of XLM-R base (measured: 1,024 0.8, 2,048 1.1, 4,096 1.8 GB).
BATCH_TOKENS: Final = (1024, 2048)
# How much faster per token a larger batch must be: results of smaller ones are there sooner.
_MIN_BATCH_GAIN: Final = 1.05
# Longest time of a batch that is larger than the first one of BATCH_TOKENS, in seconds.
_MAX_BATCH_SECONDS: Final = 0.5
# Repetitions beyond which the least time hardly changes.
_MAX_REPETITIONS: Final = 10

_LOG: Final = logging.getLogger(__name__)


class Measurement:
    """Measures the engines of one network. The time begins with the object."""

    def __init__(
        self,
        width: int,
        *,
        clock: Callable[[], float] = time.perf_counter,
        seconds: float = MEASUREMENT_SECONDS,
    ) -> None:
        """Begin.

        Args:
            width: hidden size of the network.
            clock: seconds.
            seconds: after which everything is over.
        """
        self._width, self._clock, self._seconds = width, clock, seconds
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
    ) -> list[float]:
        """Return the least seconds of each engine for a batch, as `compare`; those of one text if there is no time.

        Args:
            engines: the engines.
            single: what `compare_single` returned.
            tolerance: as for `compare`.
        """
        left = self._end(_BATCH_SHARE) - self._clock()
        texts = [count for count in _BATCHES if count * sum(single) * _TEXT_IN_BATCH <= left]
        if not texts:
            return list(single)
        found = self.compare(engines, texts[0], _BATCH_SHARE, tolerance)
        return found if any(map(math.isfinite, found)) else list(single)

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
            for number, engine in enumerate(engines):
                if repetition and self._clock() >= self._end(share):
                    break
                seconds, output = self._pass(engine, states)
                if seconds < best[number]:
                    best[number], outputs[number] = seconds, output
        for number, output in enumerate(outputs):
            if tolerance is None or output is None or outputs[0] is None:
                continue
            difference = relative_difference(output, outputs[0])
            if not difference <= tolerance:
                _LOG.warning(
                    "engine %s is not used: it differs from torch by %.1e", engines[number].name, difference
                )
                best[number] = math.inf
        for engine, seconds in zip(engines, best, strict=True):
            if math.isfinite(seconds):
                self._timings[str(engine.name), texts] = seconds
        return best

    def batch_tokens(self, engine: EncoderEngine) -> int:
        """Return at how many padded tokens in a batch the engine is fastest, of BATCH_TOKENS.

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

    def _end(self, share: float) -> float:
        return self._began + self._seconds * share

    def _pass(self, engine: EncoderEngine, states: torch.Tensor) -> tuple[float, torch.Tensor | None]:
        began = self._clock()
        try:
            with torch.inference_mode(), pausing(self._abandon_at_end):
                output = engine.forward(states, None)
        except BatchAbandoned:
            return math.inf, None
        except Exception:  # noqa: BLE001  # libraries raise anything
            _LOG.warning("engine %s is not used: it failed while it was measured", engine.name, exc_info=True)
            return math.inf, None
        return self._clock() - began, output

    def _abandon_at_end(self) -> None:
        if self._clock() >= self._end(1.0):
            raise BatchAbandoned


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
