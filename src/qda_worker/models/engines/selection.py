"""Choose the engines of a network by measurement, because CPU flags do not tell which one is fastest.

OpenVINO computes one short text up to twice as fast as torch on some CPUs, and a full batch more slowly on others. So
both are measured with the network itself, for one text and for a batch, and so is the batch size (`measurement`, at
most two seconds in all). The choice lives in memory only.

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

# How much faster than torch another engine must be: it costs memory.
_MIN_GAIN: Final = 1.05

_LOG: Final = logging.getLogger(__name__)


def install_engine(network: PreTrainedModel, wanted: EngineName | None, threads: int) -> InstalledEngines:
    """Put the fastest engine, or the wanted one, into a network.

    Args:
        network: a network in fp32, in evaluation mode. Its `encoder` is replaced unless torch is chosen.
        wanted: the engine to use, without a measurement; None: the fastest.
        threads: number of threads of the computation.

    Raises:
        EngineUnavailable: when the wanted engine cannot compute this network here.
    """
    base: Any = network.base_model
    encoder = getattr(base, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if encoder is None or layers is None or network.device.type != "cpu":
        reason = "it computes BERT and its family, on CPUs only"
        if wanted is EngineName.OPENVINO:
            raise EngineUnavailable(reason)
        return InstalledEngines(unavailable="" if wanted else f"openvino: {reason}")
    if wanted is EngineName.TORCH:
        return InstalledEngines()
    plain, width = TorchEngine(encoder), network.config.hidden_size
    try:
        other, measurement = _build_openvino(network, layers, plain, threads)
    except EngineUnavailable as error:
        if wanted is not None:
            raise
        _LOG.debug("the engine openvino is not used: %s", error)
        measurement = Measurement(width)
        choose([plain], plain, measurement)
        return InstalledEngines(
            timings=measurement.timings,
            batch_tokens=measurement.batch_tokens(plain),
            unavailable=f"openvino: {error}",
        )
    if wanted is EngineName.OPENVINO:
        base.encoder = EngineEncoder(EngineChoice(single=other, batch=other, long=plain).engine_for)
        return InstalledEngines((str(other.name),))
    choice = choose([plain, other], plain, measurement)
    batch_tokens = measurement.batch_tokens(choice.batch)
    if other.name in choice.names:
        base.encoder = EngineEncoder(choice.engine_for)
    else:
        other.close()
    return InstalledEngines(tuple(map(str, choice.names)), measurement.timings, batch_tokens)


def _build_openvino(
    network: PreTrainedModel, layers: Any, plain: TorchEngine, threads: int
) -> tuple[OpenVinoEngine, Measurement]:
    """Compile the layers and compare the numbers with torch's, which takes some of the measurement's time.

    Raises:
        EngineUnavailable: when OpenVINO cannot compute them here.
    """
    width = network.config.hidden_size
    engine = OpenVinoEngine(network.config, layers, threads)
    measurement = Measurement(width)
    if reason := tolerance_failure(plain, engine, width):
        engine.close()
        raise EngineUnavailable(reason)
    return engine, measurement


def choose(engines: Sequence[EncoderEngine], plain: EncoderEngine, measurement: Measurement) -> EngineChoice:
    """Measure engines and return which one computes what.

    Args:
        engines: one or more; another one than the first must be faster by _MIN_GAIN to be chosen.
        plain: the engine for long texts.
        measurement: of their network.
    """
    single = measurement.compare_single(engines, TOLERANCE)
    usable = [number for number, seconds in enumerate(single) if math.isfinite(seconds)] or [0]
    remaining = [engines[number] for number in usable]
    batch = measurement.compare_batch(remaining, [single[number] for number in usable], TOLERANCE)
    return EngineChoice(single=_fastest(engines, single), batch=_fastest(remaining, batch), long=plain)


def _fastest(engines: Sequence[EncoderEngine], seconds: Sequence[float]) -> EncoderEngine:
    fastest = min(range(len(engines)), key=seconds.__getitem__)
    return engines[fastest] if seconds[fastest] * _MIN_GAIN < seconds[0] else engines[0]
