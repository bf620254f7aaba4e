"""Make the files of a form: the variants of a loaded fp32 network.

The states before each layer are captured from the network itself while it computes the calibration texts; so they are
those of real texts. Static int8 is made graph by graph. Each graph is calibrated with the fp32
states before it.
"""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save
from transformers import PreTrainedModel

from model_cache.catalog.catalog import Precision
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from qda_worker.models.engines.base import EncoderEngine, EngineEncoder, TorchEngine
from qda_worker.models.engines.openvino import GRAPH_INPUTS, GraphEngine, require_openvino
from qda_worker.models.engines.openvino_reduced import GRAPH_NAME, reduced_graphs
from qda_worker.models.engines.prepared import SAMPLE_NAME, WEIGHTS_NAME, Variant
from qda_worker.models.engines.torch_reduced import bf16_tensors, int8_tensors
from qda_worker.models.engines.unpadding import unpad

# Number of texts whose states are stored as the sample.
_SAMPLE_TEXTS: Final = 3
# Bytes of a parameter in a form: int8 has two variants.
_BYTES_OF_PARAMETER: Final = {Precision.BF16: 2.0, Precision.INT8: 2.2}
_SPARE_BYTES: Final = 16 * 2**20

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class LayerInput:
    """What the encoder layers of a network read in one batch.

    Attributes:
        states: float32 [batch, tokens, width].
        mask: bool [batch, 1, 1, tokens], False for padding.
    """

    states: torch.Tensor
    mask: torch.Tensor


class _Recorder:
    """An engine that keeps what it is given."""

    name = TorchEngine.name

    def __init__(self, engine: EncoderEngine) -> None:
        self._engine, self.inputs = engine, list[LayerInput]()

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Keep the input and return the states after the last layer."""
        texts, tokens, _ = states.shape
        row = torch.ones(texts, 1, 1, tokens, dtype=torch.bool) if mask is None else mask[:, :, :1, :]
        self.inputs.append(LayerInput(states.clone(), row.clone()))
        return self._engine.forward(states, mask)

    def close(self) -> None:
        """Do nothing."""


def record_inputs(network: PreTrainedModel, compute: Callable[[], object]) -> list[LayerInput]:
    """Return what the encoder layers of a network read while `compute` runs."""
    base: Any = network.base_model
    recorder = _Recorder(TorchEngine(base.encoder))
    with using_engine(network, recorder):
        compute()
    return recorder.inputs


@contextlib.contextmanager
def using_engine(network: PreTrainedModel, engine: EncoderEngine) -> Iterator[None]:
    """Let an engine compute the layers of a network inside the block."""
    base: Any = network.base_model
    encoder = base.encoder
    base.encoder = EngineEncoder(lambda _texts, _tokens: engine)
    try:
        yield
    finally:
        base.encoder = encoder


def require_space(network: PreTrainedModel, precision: Precision, folder: Path) -> None:
    """Check that a form will find enough space, before it is made.

    Raises:
        ModelCacheError: NO_SPACE.
    """
    encoder: Any = network.base_model.encoder
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    needed = int(parameters * _BYTES_OF_PARAMETER[precision]) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelCacheError(
            f"{folder}: {needed / 1e6:.0f} MB are needed, and {free / 1e6:.0f} MB are free",
            "free some space there, or give another folder",
            reason=Reason.NO_SPACE,
        )


def write_sample(network: PreTrainedModel, inputs: Sequence[LayerInput], folder: Path) -> None:
    """Write the states of some texts before and after the fp32 layers."""
    base: Any = network.base_model
    first = inputs[0]
    states, mask = first.states[:_SAMPLE_TEXTS].contiguous(), first.mask[:_SAMPLE_TEXTS]
    tokens = states.shape[1]
    with torch.inference_mode():
        square = mask.expand(-1, 1, tokens, tokens)
        fp32 = TorchEngine(base.encoder).forward(states, square)
    sample = {"states": states, "mask": mask[:, 0, 0].to(torch.uint8).contiguous(), "fp32": fp32.clone()}
    _write(folder / SAMPLE_NAME, save(sample))


def write_variant(
    variant: Variant, network: PreTrainedModel, inputs: Sequence[LayerInput], folder: Path, threads: int
) -> None:
    """Write the files of one variant.

    Args:
        variant: which one.
        network: the fp32 network.
        inputs: what its layers read of the calibration texts.
        folder: of the form.
        threads: maximum number of threads.

    Raises:
        EngineUnavailable: when OpenVINO is needed and not installed.
        OSError: when the files cannot be written.
    """
    encoder: Any = network.base_model.encoder
    if variant in (Variant.TORCH_BF16, Variant.OPENVINO_BF16):
        if not (folder / WEIGHTS_NAME).exists():  # both have the same
            _write(folder / WEIGHTS_NAME, save(bf16_tensors(encoder)))
    elif variant is Variant.TORCH_DYNAMIC:
        _write(folder / variant / WEIGHTS_NAME, save(int8_tensors(encoder)))
    else:
        _write_static(encoder.layer, network.config, inputs, folder / variant, threads)


def recipe_of(variant: Variant) -> Mapping[str, object]:
    """Return how a variant is made, for the record."""
    recipes: dict[Variant, dict[str, object]] = {
        Variant.TORCH_BF16: {"method": "weights rounded to bfloat16"},
        Variant.OPENVINO_BF16: {"method": "weights rounded to bfloat16"},
        Variant.TORCH_DYNAMIC: {
            "method": "int8, symmetric; seven bits of weights, a scale for each output; a scale for each token of input"
        },
        Variant.OPENVINO_STATIC: {
            "method": "nncf.quantize", "model_type": "transformer", "preset": "mixed", "overflow_fix": "enable",
            "inputs": list(GRAPH_INPUTS),
        },
    }  # fmt: skip
    return recipes[variant]


def _write_static(
    layers: Sequence[Any], config: Any, inputs: Sequence[LayerInput], folder: Path, threads: int
) -> None:
    require_openvino()
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    nncf.set_log_level(logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    for number, graph in enumerate(reduced_graphs(layers, config)):
        after = _run_graph(graph, inputs, threads)  # before nncf changes the graph
        quantized = nncf.quantize(
            graph,
            nncf.Dataset([unpad(one.states, one.mask).arrays for one in inputs]),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(inputs),
            # Weights in seven bits: with eight, sums of products saturate on CPUs without VNNI.
            advanced_parameters=AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
        )
        path = folder / GRAPH_NAME.format(number=number)
        with _as_os_errors(path):
            openvino.save_model(quantized, path, compress_to_fp16=False)
        inputs = after


def _run_graph(graph: Any, inputs: Sequence[LayerInput], threads: int) -> list[LayerInput]:
    """Return what the layers after a graph read, computed in fp32."""
    engine = GraphEngine([graph], threads)
    after = [LayerInput(engine.forward(one.states, one.mask), one.mask) for one in inputs]
    engine.close()
    return after


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())


@contextlib.contextmanager
def _as_os_errors(path: Path) -> Iterator[None]:
    """Raise OSError where OpenVINO cannot write, which raises RuntimeError without the cause."""
    try:
        yield
    except RuntimeError as error:
        free = shutil.disk_usage(path.parent).free
        code = errno.ENOSPC if free < _SPARE_BYTES else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error
