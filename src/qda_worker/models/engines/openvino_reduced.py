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
from qda_worker.models.engines.openvino import GraphEngine, layer_graphs, require_openvino

# Name of the file of the graph with a number, from 0 on.
GRAPH_NAME: Final = "layers-{number}.xml"


def bf16_engine(layers: Sequence[Any], width: int, threads: int) -> GraphEngine:
    """Compile fp32 layers to be computed in bfloat16."""
    return GraphEngine(layer_graphs(layers, width), threads, "bf16")


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
