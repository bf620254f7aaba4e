"""The encoder layers in bf16 or int8, computed by OpenVINO.

bf16: the graphs are written down as for fp32, and OpenVINO computes them in bfloat16.

int8: the graphs are read from files that nncf made, with the scales of weights and states as constants. So a text has
the same numbers in every batch.

Each graph has a few layers (`layers_per_graph`), with a pause point between two graphs. int8 graphs have as many as
when they were made.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from qda_worker.models.engines.base import EngineUnavailable
from qda_worker.models.engines.openvino import (
    GRAPH_INPUTS,
    LAYERS_PER_GRAPH,
    GraphEngine,
    layer_graphs,
    require_openvino,
)

# Layers in one graph of a network that reads long texts: at 8,192 tokens two of bge-m3's take some seconds, and in a
# reduced precision no other engine computes long texts.
_LAYERS_OF_LONG_TEXTS: Final = 2
# Positions of a network beyond which it does.
_SHORT_POSITIONS: Final = 1024
# Name of the file of the graph with a number, from 0 on.
GRAPH_NAME: Final = "layers-{number}.xml"


def layers_per_graph(config: Any) -> int:
    """Return how many layers a graph of a network has, by its configuration."""
    return LAYERS_PER_GRAPH if config.max_position_embeddings <= _SHORT_POSITIONS else _LAYERS_OF_LONG_TEXTS


def reduced_graphs(layers: Sequence[Any], config: Any) -> list[Any]:
    """Return graphs of fp32 layers of a network, with `layers_per_graph` in each; see `layer_graphs`."""
    return layer_graphs(layers, config.hidden_size, layers_per_graph(config))


def bf16_engine(layers: Sequence[Any], config: Any, threads: int) -> GraphEngine:
    """Compile fp32 layers of a network to be computed in bfloat16."""
    return GraphEngine(reduced_graphs(layers, config), threads, "bf16")


def int8_engine(folder: Path, threads: int) -> GraphEngine:
    """Compile the graphs in a folder.

    Raises:
        EngineUnavailable: when OpenVINO is not installed, or the folder has no graph or graphs with other inputs.
    """
    require_openvino()
    import openvino

    core = openvino.Core()
    graphs: list[Any] = []
    while (file := folder / GRAPH_NAME.format(number=len(graphs))).is_file():
        graphs.append(core.read_model(file))
    if not graphs:
        raise EngineUnavailable("its folder has no graph")
    if any(tuple(one.friendly_name for one in graph.get_parameters()) != GRAPH_INPUTS for graph in graphs):
        raise EngineUnavailable(
            "another version of qda-worker made its graphs: make the form again in another folder with "
            "`qda-worker prepare`, and publish it"
        )
    return GraphEngine(graphs, threads)
