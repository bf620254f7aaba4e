"""The encoder layers of BERT and its family, computed by OpenVINO in fp32.

`OpenVinoEngine` writes the layers down as an OpenVINO graph, with the weights of the loaded network. (The general
converter of OpenVINO traces the network for 8 to 16 processor seconds; writing the graph takes a fraction of one.) The
result is compared with torch before it is used, see `selection`. Only attention computes padding (`unpadding`).

OpenVINO cannot pause within a graph, so the layers are divided into graphs of LAYERS_PER_GRAPH, with a pause point
between two graphs. Each graph costs time: one text of 16 to 31 tokens took the 12 layers of XLM-R base 25.9 ms with one
graph, 26.7 with three and 28.0 with six, and 3 ms more for each graph when its length was new (two cores, measured
before padding was left out; gathering for attention takes one short text 0.4 ms).

Memory: an engine stores the weights again, in the order that its kernels read, private to this process. Each graph has
buffers of its own. It keeps kernels of matrix products for each number of rows, of which there are few (`unpadding`),
and of attention for each number of texts and tokens. Both are limited, see _KERNEL_LIMIT and `cpu.KERNEL_VARIABLES`.

Threads: the compute thread of the model calls `forward`, OpenVINO uses threads of its own, at most as many as were
given. A batch that is computed at a pause point of another one needs buffers of its own, so each nesting depth has its
own inference requests.
"""

import logging
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import torch

from qda_worker.models.engines.base import EngineName, EngineUnavailable
from qda_worker.models.engines.unpadding import unpad
from qda_worker.models.pauses import pause_point

# Model types of transformers whose layers have the structure that `_layer` writes down.
MODEL_TYPES: Final = frozenset({"bert", "camembert", "electra", "roberta", "xlm-roberta"})
# Layers in one graph: at 1,024 tokens four of bge-m3's take about half a second on two cores.
LAYERS_PER_GRAPH: Final = 4
# Kernels of one kind that a graph keeps. A number of rows needs up to three of the most frequent kind, matrix products.
_KERNEL_LIMIT: Final = 128
# OpenVINO's name for that, which it does not document. On Arm it keeps none, because kept ones may compute wrong
# numbers there (`rtCacheCapacity` in its source).
KERNEL_LIMIT_PROPERTY: Final = "CPU_RUNTIME_CACHE_CAPACITY"
# Inputs of a graph, in this order: the arrays of `UnpaddedBatch`.
GRAPH_INPUTS: Final = ("states", "readable", "row_of_place", "place_of_row")
# As `platform.machine` names it on Linux, macOS and Windows.
_X86: Final = frozenset({"x86_64", "AMD64"})

_LOG: Final = logging.getLogger(__name__)


class GraphEngine:
    """Consecutive graphs of encoder layers, compiled for this CPU."""

    name: Final = EngineName.OPENVINO

    def __init__(self, graphs: Sequence[Any], threads: int, precision: str = "f32") -> None:
        """Compile graphs.

        Args:
            graphs: of all layers in order. The inputs of each are those of `UnpaddedBatch`; its output is its states
                after these layers.
            threads: maximum number of threads.
            precision: f32 or bf16, of what is not int8. OpenVINO's default on CPUs with bf16 is bf16.
        """
        import openvino

        options = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # two pods that are pinned to the same cores would wait for each other
        }
        core, optional = openvino.Core(), kernel_limit(platform.machine())
        with ThreadPoolExecutor(threads) as pool:  # each graph is compiled in one thread
            self._models = list(pool.map(lambda graph: compile_graph(core, graph, options, optional), graphs))
        self._requests: list[list[Any]] = []
        self._depth = 0

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the states after the last layer, as `EncoderEngine.forward`."""
        if self._depth == len(self._requests):
            self._requests.append([model.create_infer_request() for model in self._models])
        requests = self._requests[self._depth]
        self._depth += 1
        try:
            return self._run(requests, states, mask)
        finally:
            self._depth -= 1

    def _run(self, requests: list[Any], states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        import openvino

        # Requests keep only addresses, so the batch must live until the last graph has computed.
        batch = unpad(states, mask)
        current, *layout = (openvino.Tensor(array, shared_memory=True) for array in batch.arrays)
        for number, request in enumerate(requests):
            if number:
                pause_point()
            for index, tensor in enumerate((current, *layout)):
                request.set_input_tensor(index, tensor)
            request.infer(share_outputs=True)  # without a copy of them
            current = request.get_output_tensor(0)
        # The buffer belongs to the request, and the next batch reuses it: this copies.
        return torch.from_numpy(current.data[0, batch.row_of_place])

    def close(self) -> None:
        """Release the compiled layers."""
        self._requests.clear()
        self._models.clear()


class OpenVinoEngine(GraphEngine):
    """The encoder layers of one network in fp32."""

    def __init__(self, config: Any, layers: Sequence[Any], threads: int) -> None:
        """Write the layers down and compile them.

        Args:
            config: configuration of the network.
            layers: its encoder layers, in fp32, on the CPU. They must stay unchanged.
            threads: maximum number of threads.

        Raises:
            EngineUnavailable: when OpenVINO is not installed or does not know such a network.
        """
        _require_known_network(config)
        self._layers = list(layers)  # the graphs read their weights in place
        super().__init__(layer_graphs(self._layers, config.hidden_size), threads)

    def close(self) -> None:
        """Release the compiled layers."""
        super().close()
        self._layers.clear()


def kernel_limit(architecture: str) -> dict[str, int]:
    """Return the property that limits the kernels of a graph on an architecture, as `platform.machine` names it."""
    return {KERNEL_LIMIT_PROPERTY: _KERNEL_LIMIT} if architecture in _X86 else {}


def compile_graph(core: Any, graph: Any, options: dict[str, Any], optional: dict[str, Any]) -> Any:
    """Compile a graph for the CPU.

    Args:
        core: OpenVINO's `Core`.
        graph: the graph.
        options: properties of the compiled graph.
        optional: more of them, which are left out if this version does not know one.
    """
    try:
        return core.compile_model(graph, "CPU", {**options, **optional})
    except RuntimeError as error:
        if not any(name in str(error) for name in optional):
            raise
        _LOG.debug("OpenVINO does not know %s", ", ".join(optional), exc_info=True)
        return core.compile_model(graph, "CPU", options)


def _require_known_network(config: Any) -> None:
    if config.model_type not in MODEL_TYPES or config.is_decoder:
        raise EngineUnavailable(f"it computes BERT and its family, and this is a {config.model_type} network")
    if config.hidden_act != "gelu":
        raise EngineUnavailable(f"it knows no activation {config.hidden_act}")


def require_openvino() -> None:
    """Import OpenVINO without its telemetry.

    Raises:
        EngineUnavailable: when it is not installed.
    """
    _block_telemetry()
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(
            "the package openvino is not installed: pip install 'qda-worker[openvino]'"
        ) from error


def _block_telemetry() -> None:
    """Make `import openvino` send no event to an analytics service, as it does if this package can be imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: the import raises ImportError


def layer_graphs(layers: Sequence[Any], width: int, layers_per_graph: int = LAYERS_PER_GRAPH) -> list[Any]:
    """Return graphs of fp32 layers in order.

    Args:
        layers: of a network of BERT's family. They must stay unchanged as long as the graphs exist.
        width: hidden size.
        layers_per_graph: number of layers in a graph.

    Raises:
        EngineUnavailable: when OpenVINO is not installed.
    """
    require_openvino()
    starts = range(0, len(layers), layers_per_graph)
    return [_graph(layers[start : start + layers_per_graph], width) for start in starts]


def _graph(layers: Sequence[Any], width: int) -> Any:
    """Return the graph of consecutive layers, with the inputs of `UnpaddedBatch` and its states as output."""
    from openvino import Model, opset13

    shapes = ([1, -1, width], [-1, 1, 1, -1], [-1, -1], [-1])
    types = (np.float32, np.bool_, np.int32, np.int32)
    inputs = [
        opset13.parameter(shape, kind, name=name)
        for name, shape, kind in zip(GRAPH_INPUTS, shapes, types, strict=True)
    ]
    states, *layout = inputs
    output = states
    for layer in layers:
        output = _layer(output, layout, layer)
    return Model([output], inputs, "layers")


def _layer(states: Any, layout: Sequence[Any], layer: Any) -> Any:
    """Write down one layer: attention and feed-forward, each followed by a residual connection and normalization."""
    from openvino import opset13

    attention, feed_forward = layer.attention, layer.output
    mixed = _attention(states, layout, attention.self)
    mixed = _add_and_normalize(_linear(mixed, attention.output.dense), states, attention.output.LayerNorm)
    inner = opset13.gelu(_linear(mixed, layer.intermediate.dense), "erf")
    return _add_and_normalize(_linear(inner, feed_forward.dense), mixed, feed_forward.LayerNorm)


def _attention(states: Any, layout: Sequence[Any], attention: Any) -> Any:
    """Write down attention among the tokens of each text; `layout` are the inputs of the graph behind the states."""
    from openvino import opset13

    readable, row_of_place, place_of_row = layout
    heads, width = attention.num_attention_heads, attention.attention_head_size
    first, second = opset13.constant(np.array(0)), opset13.constant(np.array(1))  # axes
    split = opset13.constant(np.array([0, 0, heads, width]))  # 0: as the input
    by_head = opset13.constant(np.array([0, 2, 1, 3]))
    of_texts = (
        opset13.squeeze(opset13.gather(_linear(states, part), row_of_place, second), first)
        for part in (attention.query, attention.key, attention.value)
    )
    query, key, value = (
        opset13.transpose(opset13.reshape(part, split, special_zero=True), by_head) for part in of_texts
    )
    mixed = opset13.transpose(opset13.scaled_dot_product_attention(query, key, value, readable), by_head)
    joined = opset13.reshape(mixed, opset13.constant(np.array([1, -1, heads * width])), special_zero=False)
    return opset13.gather(joined, place_of_row, second)


def _linear(states: Any, module: Any) -> Any:
    from openvino import opset13

    product = opset13.matmul(states, _constant(module.weight), transpose_a=False, transpose_b=True)
    return product if module.bias is None else opset13.add(product, _constant(module.bias))


def _add_and_normalize(states: Any, residual: Any, module: torch.nn.LayerNorm) -> Any:
    from openvino import opset13

    last_axis = opset13.constant(np.array([-1]))
    summed = opset13.add(states, residual)
    normalized = opset13.mvn(summed, last_axis, True, module.eps, "inside_sqrt")  # epsilon as in torch
    return opset13.add(opset13.multiply(normalized, _constant(module.weight)), _constant(module.bias))


def _constant(parameter: torch.Tensor) -> Any:
    from openvino import opset13

    return opset13.constant(parameter.detach().numpy(), shared_memory=True)
