"""Choose the engines of a network on the CPU by measurement, because CPU flags do not tell which one is fastest.

OpenVINO computes one short text up to twice as fast as torch on some CPUs, and a full batch more slowly on others. So
both are measured with the network itself, for one text and for a batch, and so is the batch size (`measurement`, at
most two seconds in all, in a turn of its own). The choice lives in memory only.

An engine is used only if its numbers agree with torch's, on a padded batch and on the measured ones. One that raises,
or disagrees, is left out, and the log says why.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any, Final

from transformers import PreTrainedModel

from qda_worker.models.base import InstalledEngines
from qda_worker.models.engines.base import (
    TOLERANCE,
    EncoderEngine,
    EngineChoice,
    EngineEncoder,
    EngineName,
    EngineUnavailable,
    TorchEngine,
)
from qda_worker.models.engines.measurement import Measurement, tolerance_failure
from qda_worker.models.engines.openvino import OpenVinoEngine
from qda_worker.models.pauses import TakeTurn, only_turn

# How much faster than torch another engine must be: it costs memory.
_MIN_GAIN: Final = 1.05
# The same for batches, against noise only. The measured batches have no padding, which OpenVINO leaves out; that is
# worth 7 % with texts of 40 to 70 tokens, and more than the kernels that it prepares for new numbers of tokens.
_MIN_BATCH_GAIN: Final = 1.03

_LOG: Final = logging.getLogger(__name__)


def install_engine(
    network: PreTrainedModel, wanted: EngineName | None, threads: int, take_turn: TakeTurn = only_turn
) -> InstalledEngines:
    """Put the fastest engine, or the wanted one, into a network.

    Args:
        network: a network in fp32, on the CPU, in evaluation mode. Its `encoder` is replaced unless torch is chosen.
        wanted: the engine to use, without a measurement; None: the fastest.
        threads: number of threads of the computation.
        take_turn: waits for a turn in which to measure.

    Raises:
        EngineUnavailable: when the wanted engine cannot compute this network here.
    """
    base: Any = network.base_model
    encoder = getattr(base, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if encoder is None or layers is None:
        reason = "it computes BERT and its family"
        if wanted is EngineName.OPENVINO:
            raise EngineUnavailable(reason)
        return InstalledEngines(unavailable="" if wanted else f"openvino: {reason}")
    if wanted is EngineName.TORCH:
        return InstalledEngines()
    plain, width = TorchEngine(encoder), network.config.hidden_size
    if wanted is EngineName.OPENVINO:
        only = _build_openvino(network, layers, plain, threads)
        base.encoder = EngineEncoder(EngineChoice(single=only, batch=only, long=plain).engine_for)
        return InstalledEngines((str(only.name),))
    other, reason = _try_openvino(network, layers, plain, threads)
    with take_turn() as turn:
        measurement = Measurement(width, give_way=turn.give_way)
        engines: list[EncoderEngine] = [plain] if other is None else [plain, other]
        choice = choose(engines, plain, measurement)
        batch_tokens = measurement.batch_tokens(choice.batch)
    names = tuple(map(str, choice.names))
    if other is None:
        _LOG.debug("the engine openvino is not used: %s", reason)
        return InstalledEngines(names, measurement.timings, batch_tokens, f"openvino: {reason}")
    if other.name in choice.names:
        base.encoder = EngineEncoder(choice.engine_for)
    else:
        other.close()
    return InstalledEngines(names, measurement.timings, batch_tokens)


def _build_openvino(
    network: PreTrainedModel, layers: Any, plain: EncoderEngine, threads: int
) -> OpenVinoEngine:
    """Compile the layers, and compare the numbers with torch's.

    Raises:
        EngineUnavailable: when OpenVINO cannot compute them here.
    """
    engine = OpenVinoEngine(network.config, layers, threads)
    if reason := tolerance_failure(plain, engine, network.config.hidden_size):
        engine.close()
        raise EngineUnavailable(reason)
    return engine


def _try_openvino(
    network: PreTrainedModel, layers: Any, plain: EncoderEngine, threads: int
) -> tuple[OpenVinoEngine | None, str]:
    """Return the engine of `_build_openvino`, or None and why there is none."""
    try:
        return _build_openvino(network, layers, plain, threads), ""
    except EngineUnavailable as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001  # libraries raise anything
        _LOG.warning("engine openvino could not be built", exc_info=True)
        return None, f"it raised {type(error).__name__} while it was built"


def choose(engines: Sequence[EncoderEngine], plain: EncoderEngine, measurement: Measurement) -> EngineChoice:
    """Measure engines and return which one computes what.

    Args:
        engines: one or more; another one than the first must be faster by _MIN_GAIN to be chosen, and for batches by
            _MIN_BATCH_GAIN.
        plain: the engine for long texts.
        measurement: of their network.
    """
    single = measurement.compare_single(engines, TOLERANCE)
    usable = [number for number, seconds in enumerate(single) if math.isfinite(seconds)] or [0]
    remaining = [engines[number] for number in usable]
    single_of_remaining = [single[number] for number in usable]
    batch = measurement.compare_batch(remaining, single_of_remaining, TOLERANCE)
    return EngineChoice(
        single=_fastest(engines, single, _MIN_GAIN),
        batch=_fastest(
            remaining, batch or single_of_remaining, _MIN_GAIN if batch is None else _MIN_BATCH_GAIN
        ),
        long=plain,
    )


def _fastest(engines: Sequence[EncoderEngine], seconds: Sequence[float], gain: float) -> EncoderEngine:
    """Return the engine with the least seconds, or the first one unless that is faster by `gain`."""
    fastest = min(range(len(engines)), key=seconds.__getitem__)
    return engines[fastest] if seconds[fastest] * gain < seconds[0] else engines[0]
