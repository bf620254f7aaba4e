"""The engines of a prepared form, and the choice among them.

A form holds one or more variants, each made for one engine. They are what `VARIANTS` names for its precision:

| variant | engine | files |
| --- | --- | --- |
| `torch-bf16` | torch | `encoder.safetensors`: all parameters of the encoder layers in bfloat16 |
| `openvino-bf16` | OpenVINO | the same file; the graph is written down as for fp32 |
| `torch-dynamic` | torch | `torch-dynamic/encoder.safetensors`: int8 weights, see `torch_reduced` |
| `openvino-static` | OpenVINO | `openvino-static/layers-N.xml` and `.bin`: int8 graphs with fixed scales |

`sample.safetensors` holds the states of three texts before the layers and, from fp32, after them. The record has the
error of each variant on it. A variant whose error is much greater here than where it was made is not used: this CPU, or
this version of a library, computes other numbers than those that passed the accuracy gate.

Of several variants that can run here, the fastest one computes everything. Unlike in fp32, one short text and a batch
do not get different engines, because the numbers of two variants differ.
"""

import logging
import math
import platform
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from model_cache.catalog.catalog import Precision
from model_cache.prepared_form import PreparedForm
from qda_worker.cpu import cpu_flags
from qda_worker.models.base import EngineTiming, InstalledEngines
from qda_worker.models.engines.base import (
    EncoderEngine,
    EngineEncoder,
    EngineName,
    EngineUnavailable,
    TorchEngine,
)
from qda_worker.models.engines.measurement import Measurement
from qda_worker.models.engines.openvino import MODEL_TYPES
from qda_worker.models.engines.torch_reduced import (
    BACKEND,
    Bf16Engine,
    bf16_encoder,
    int8_encoder,
)
from qda_worker.models.pauses import TakeTurn, only_turn

WEIGHTS_NAME: Final = "encoder.safetensors"
SAMPLE_NAME: Final = "sample.safetensors"
# How much greater the error on the sample may be than where the form was made. Rounding differs between processors by
# far less than it differs from fp32.
_MAX_ERROR_RATIO: Final = 1.5
_MIN_ERROR: Final = 1e-3
# Instructions of x86 and of Arm that multiply bfloat16. Without them it is slower than fp32.
_BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
# FBGEMM and OpenVINO's int8 kernels need them.
_INT8_FLAGS: Final = frozenset({"avx2"})

_LOG: Final = logging.getLogger(__name__)


class Variant(StrEnum):
    """A variant of a form."""

    TORCH_BF16 = "torch-bf16"
    OPENVINO_BF16 = "openvino-bf16"
    TORCH_DYNAMIC = "torch-dynamic"
    OPENVINO_STATIC = "openvino-static"

    @property
    def engine(self) -> EngineName:
        """The engine that computes it."""
        return EngineName(self.partition("-")[0])


VARIANTS: Final[Mapping[Precision, tuple[Variant, ...]]] = MappingProxyType(
    {
        Precision.BF16: (Variant.TORCH_BF16, Variant.OPENVINO_BF16),
        Precision.INT8: (Variant.TORCH_DYNAMIC, Variant.OPENVINO_STATIC),
    }
)


def missing_instructions(precision: Precision, flags: frozenset[str] | None = None) -> str:
    """Return why this CPU cannot compute in a precision, as a predicate; empty if it can.

    Args:
        precision: bf16 or int8.
        flags: the CPU's features; None reads those of this one. Where the system names none, none are missed.
    """
    flags = cpu_flags() if flags is None else flags
    needed = _BF16_FLAGS if precision is Precision.BF16 else _INT8_FLAGS
    if not flags or flags & needed:
        return ""
    return f"has none of {', '.join(sorted(needed))}, which {precision} needs"


def require_known_layers(network: PreTrainedModel) -> None:
    """Check that the layers of a network are of a kind that forms are made of.

    Raises:
        EngineUnavailable: when they are not.
    """
    kind = network.config.model_type
    if kind not in MODEL_TYPES or getattr(network.config, "is_decoder", False):
        raise EngineUnavailable(f"forms are made of BERT and its family, and this is a {kind} network")


def build_engine(variant: Variant, folder: Path, network: PreTrainedModel, threads: int) -> EncoderEngine:
    """Load a variant.

    Args:
        variant: which one.
        folder: of the form.
        network: the fp32 network that it was made from.
        threads: maximum number of threads.

    Raises:
        EngineUnavailable: when it cannot run here, or does not fit the network.
    """
    encoder: Any = network.base_model.encoder
    try:
        if variant is Variant.TORCH_BF16:
            return Bf16Engine(bf16_encoder(encoder, load_file(folder / WEIGHTS_NAME)))
        if variant is Variant.TORCH_DYNAMIC:
            if BACKEND not in torch.backends.quantized.supported_engines:
                raise EngineUnavailable(f"this torch for {platform.machine()} has no {BACKEND}")
            return TorchEngine(int8_encoder(encoder, load_file(folder / variant / WEIGHTS_NAME)))
        from qda_worker.models.engines.openvino_reduced import bf16_engine, int8_engine

        if variant is Variant.OPENVINO_BF16:
            layers: Any = bf16_encoder(encoder, load_file(folder / WEIGHTS_NAME)).float()
            return bf16_engine(layers.layer, network.config, threads)
        return int8_engine(folder / variant, threads)
    except EngineUnavailable:
        raise
    except Exception as error:  # libraries raise anything
        _LOG.debug("%s cannot be loaded", variant, exc_info=True)
        raise EngineUnavailable(f"it cannot be loaded: {type(error).__name__}: {error}") from error


def sample_error(engine: EncoderEngine, sample: Mapping[str, torch.Tensor]) -> float:
    """Return the root mean square of an engine's difference from fp32, relative to that of fp32; NaN if not finite.

    Args:
        engine: of a variant.
        sample: `states` and `fp32`, float32 [texts, tokens, width]; `mask`, uint8 [texts, tokens], 1 for tokens.
    """
    mask = sample["mask"].bool()
    texts, tokens = mask.shape
    square = mask[:, None, None, :].expand(texts, 1, tokens, tokens)
    with torch.inference_mode():
        found = engine.forward(sample["states"], square)[mask]
    expected = sample["fp32"][mask]
    return float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt())


def install_form(
    network: PreTrainedModel,
    folder: Path,
    form: PreparedForm,
    wanted: EngineName | None,
    threads: int,
    take_turn: TakeTurn = only_turn,
) -> InstalledEngines:
    """Let the fastest variant of a form, or that of the wanted engine, compute the layers of a network.

    Args:
        network: the fp32 network that the form was made from. Its `encoder` is replaced.
        folder: of the form, whose files are intact.
        form: its record.
        wanted: the engine to use; None: measure.
        threads: maximum number of threads.
        take_turn: waits for a turn in which to measure.

    Raises:
        EngineUnavailable: when no variant can run here; the message has the reason of each.
    """
    require_known_layers(network)
    if reason := missing_instructions(form.precision):
        raise EngineUnavailable(f"this CPU {reason}")
    engines, reasons = _load_variants(network, folder, form, wanted, threads)
    if not engines:
        raise EngineUnavailable("; ".join(reasons) or "the form has no variant that this version knows")
    for reason in reasons:
        _LOG.warning("a variant is not used: %s", reason)
    base: Any = network.base_model
    fastest, batch_tokens = engines[0], None
    timings: tuple[EngineTiming, ...] = ()
    if wanted is None:
        with take_turn() as turn:
            measurement = Measurement(network.config.hidden_size, give_way=turn.give_way)
            fastest = choose_engine(engines, measurement)
            timings, batch_tokens = measurement.timings, measurement.batch_tokens(fastest)
    for engine in engines:
        if engine is not fastest:
            engine.close()
    base.encoder = EngineEncoder(lambda _texts, _tokens: fastest)
    return InstalledEngines((str(fastest.name),), timings, batch_tokens, "; ".join(reasons))


def load_bf16_on(
    device: str, network: PreTrainedModel, folder: Path, form: PreparedForm, name: EngineName
) -> EncoderEngine:
    """Return the variant `torch-bf16` of a form on another device than the CPU.

    Args:
        device: torch's name of the device.
        network: the fp32 network that the form was made from.
        folder: of the form, whose files are intact.
        form: its record.
        name: of the engine.

    Raises:
        EngineUnavailable: when the form has no such variant, or its numbers there are not those that passed the gate.
    """
    require_known_layers(network)
    if Variant.TORCH_BF16 not in form.variants:
        raise EngineUnavailable(
            f"the form has no variant {Variant.TORCH_BF16}, only {', '.join(form.variants)}"
        )
    base: Any = network.base_model
    engine = Bf16Engine(bf16_encoder(base.encoder, load_file(folder / WEIGHTS_NAME)).to(device), name)
    sample = {key: tensor.to(device) for key, tensor in load_file(folder / SAMPLE_NAME).items()}
    _require_error(engine, sample, form, Variant.TORCH_BF16)
    return engine


def choose_engine(engines: Sequence[EncoderEngine], measurement: Measurement) -> EncoderEngine:
    """Return the engine that needs the least time for one short text and for a batch, relative to the best one of each.

    Args:
        engines: at least one.
        measurement: of their network.
    """
    single = measurement.compare_single(engines, None)
    batch = measurement.compare_batch(engines, single, None)
    relative = [
        sum(
            seconds[number] / max(min(seconds), 1e-9)
            for seconds in (single, batch or single)
            if min(seconds) < math.inf
        )
        for number in range(len(engines))
    ]
    return engines[min(range(len(engines)), key=relative.__getitem__)]


def _load_variants(
    network: PreTrainedModel, folder: Path, form: PreparedForm, wanted: EngineName | None, threads: int
) -> tuple[list[EncoderEngine], list[str]]:
    """Return the engines that can run here, and why others cannot."""
    sample = load_file(folder / SAMPLE_NAME)
    engines: list[EncoderEngine] = []
    reasons: list[str] = []
    for variant in VARIANTS[form.precision]:
        if variant not in form.variants:
            continue
        if wanted not in (None, variant.engine):
            reasons.append(f"{variant}: --engine {wanted} excludes it")
            continue
        try:
            engine = build_engine(variant, folder, network, threads)
            _require_error(engine, sample, form, variant)
        except EngineUnavailable as error:
            reasons.append(f"{variant}: {error}")
        else:
            engines.append(engine)
    if wanted is not None and not any(variant.startswith(wanted) for variant in form.variants):
        reasons.append(f"the form has no variant for the engine {wanted}, only {', '.join(form.variants)}")
    return engines, reasons


def _require_error(
    engine: EncoderEngine, sample: Mapping[str, torch.Tensor], form: PreparedForm, variant: Variant
) -> None:
    recorded = form.recipe.get("sample_errors", {}).get(variant)
    if type(recorded) is not float:
        raise EngineUnavailable("its record has no error on the sample")
    try:
        error = sample_error(engine, sample)
    except Exception as failure:  # libraries raise anything
        _LOG.debug("%s failed on the sample", variant, exc_info=True)
        raise EngineUnavailable(f"it raised {type(failure).__name__} on the sample") from failure
    if not error <= max(recorded * _MAX_ERROR_RATIO, _MIN_ERROR):
        raise EngineUnavailable(
            f"its error on the sample is {error:.2g} here, and was {recorded:.2g} where it was made"
        )
