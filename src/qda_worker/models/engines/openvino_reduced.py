"""The encoder layers in bf16 or int8, computed by OpenVINO.

bf16: the graphs are written down as for fp32, and OpenVINO computes them in bfloat16.

int8: the graphs are read from files that nncf made, with the scales of weights and states as constants. So a text has
the same numbers in every batch.

Each graph has a few layers, with a pause point between two graphs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from qda_worker.models.engines.base import EngineUnavailable
from qda_worker.models.engines.openvino import OpenVinoEngine, block_telemetry, layers_graph

# Layers in one graph: at 8,192 tokens two of bge-m3's take some seconds, and each graph costs some microseconds.
LAYERS_PER_GRAPH: Final = 2
# Name of the file of the graph with a number, from 0 on.
GRAPH_NAME: Final = "layers-{number}.xml"


class GraphEngine(OpenVinoEngine):
    """Consecutive graphs of layers, compiled for this CPU."""

    def __init__(self, graphs: Sequence[Any], threads: int, precision: str = "f32") -> None:
        """Compile graphs.

        Args:
            graphs: of all layers in order. The inputs of each are states, float32 [batch, tokens, width], and a mask,
                bool [batch, 1, 1, tokens]; its output is states.
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
        core = openvino.Core()
        self._models = [core.compile_model(graph, "CPU", options) for graph in graphs]
        self._layers = []
        self._requests = []
        self._depth = 0


def fp32_graphs(layers: Sequence[Any], width: int) -> list[Any]:
    """Return graphs of fp32 layers, LAYERS_PER_GRAPH in each.

    Args:
        layers: of a network of BERT's family; they must stay unchanged as long as the graphs exist.
        width: hidden size.
    """
    require_openvino()
    starts = range(0, len(layers), LAYERS_PER_GRAPH)
    return [layers_graph(layers[start : start + LAYERS_PER_GRAPH], width) for start in starts]


def bf16_engine(layers: Sequence[Any], width: int, threads: int) -> GraphEngine:
    """Compile fp32 layers to be computed in bfloat16."""
    return GraphEngine(fp32_graphs(layers, width), threads, "bf16")


def int8_engine(folder: Path, threads: int) -> GraphEngine:
    """Compile the graphs in a folder.

    Raises:
        EngineUnavailable: when OpenVINO is not installed, or the folder has no graph.
    """
    require_openvino()
    import openvino

    core = openvino.Core()
    graphs: list[Any] = []
    while (file := folder / GRAPH_NAME.format(number=len(graphs))).is_file():
        graphs.append(core.read_model(file))
    if not graphs:
        raise EngineUnavailable("its folder has no graph")
    return GraphEngine(graphs, threads)


def require_openvino() -> None:
    """Import OpenVINO without its telemetry.

    Raises:
        EngineUnavailable: when it is not installed.
    """
    block_telemetry()
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(
            "the package openvino is not installed: pip install 'qda-worker[openvino]'"
        ) from error
