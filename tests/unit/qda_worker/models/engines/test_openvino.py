"""OpenVINO computes the layers of BERT and its family as torch does, also at a pause point of another batch."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Never

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13
from transformers import (
    BertConfig,
    BertModel,
    CamembertConfig,
    CamembertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from qda_worker.models.base import InstalledEngines
from qda_worker.models.engines.base import TOLERANCE, EngineName, EngineUnavailable
from qda_worker.models.engines.measurement import BATCH_TOKENS
from qda_worker.models.engines.openvino import (
    KERNEL_LIMIT_PROPERTY,
    LAYERS_PER_GRAPH,
    GraphEngine,
    OpenVinoEngine,
    compile_graph,
    kernel_limit,
    layer_graphs,
)
from qda_worker.models.engines.openvino_reduced import GRAPH_NAME, int8_engine, layers_per_graph
from qda_worker.models.engines.selection import install_engine
from qda_worker.models.pauses import BatchAbandoned, pausing

SHAPE: Final[dict[str, Any]] = {
    "vocab_size": 60,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}
NETWORKS: Final[list[Callable[[], Any]]] = [
    lambda: BertModel(BertConfig(**SHAPE)),
    lambda: BertModel(
        BertConfig(**{**SHAPE, "num_hidden_layers": 2 * LAYERS_PER_GRAPH + 1, "layer_norm_eps": 1e-5})
    ),
    lambda: CamembertModel(CamembertConfig(**SHAPE)),
    lambda: ElectraModel(ElectraConfig(**SHAPE, embedding_size=16)),
    lambda: RobertaModel(RobertaConfig(**SHAPE)),
    lambda: XLMRobertaForSequenceClassification(XLMRobertaConfig(**SHAPE, id2label={0: "a", 1: "b", 2: "c"})),
]


def network(make: Callable[[], Any]) -> Any:
    torch.manual_seed(3)
    return make().eval()


def batch(*lengths: int) -> dict[str, torch.Tensor]:
    """Return ids that are not padding, and the mask of a batch that is padded to the longest text."""
    ids = torch.randint(5, 60, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(4))
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}


def output(network: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return logits, or the states of the tokens that are not padding."""
    with torch.inference_mode():
        found: torch.Tensor = network(**inputs)[0]
    return found if found.dim() == 2 else found[inputs["attention_mask"].bool()]


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.square().mean().sqrt())


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("lengths", [(1,), (7,), (40,), (9, 2, 31, 1), (5, 5), (40, 30, 17)])
def test_numbers_agree_with_those_of_torch(make: Callable[[], Any], lengths: tuple[int, ...]) -> None:
    plain, served, inputs = network(make), network(make), batch(*lengths)

    assert install_engine(served, EngineName.OPENVINO, 1).names == ("openvino",)

    assert difference(output(served, inputs), output(plain, inputs)) <= TOLERANCE


def test_a_batch_that_is_computed_at_a_pause_point_changes_no_number() -> None:
    served = network(NETWORKS[1])
    install_engine(served, EngineName.OPENVINO, 1)
    outer, inner = batch(30, 12), batch(3)
    expected, alone = output(served, outer), output(served, inner)
    between: list[torch.Tensor] = []

    with pausing(lambda: between.append(output_without_pauses(served, inner))):
        found = output(served, outer)

    assert torch.equal(found, expected)
    assert len(between) > 1
    assert all(torch.equal(each, alone) for each in between)


def output_without_pauses(served: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with pausing(lambda: None):
        return output(served, inputs)


def test_an_abandoned_batch_leaves_the_engine_usable() -> None:
    served, inputs = network(NETWORKS[1]), batch(6, 4)
    install_engine(served, EngineName.OPENVINO, 1)
    expected = output(served, inputs)

    def give_up() -> None:
        raise BatchAbandoned

    with pytest.raises(BatchAbandoned), pausing(give_up):
        output(served, inputs)

    assert torch.equal(output(served, inputs), expected)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DistilBertModel(DistilBertConfig(vocab_size=60, dim=32, n_layers=1, n_heads=2)), "BERT"),
        (lambda: BertModel(BertConfig(**SHAPE, hidden_act="relu")), "no activation relu"),
        (lambda: BertModel(BertConfig(**SHAPE, is_decoder=True)), "BERT and its family"),
    ],
)  # fmt: skip
def test_other_networks_stay_with_torch_unless_the_engine_is_demanded(
    make: Callable[[], Any], said: str
) -> None:
    other = network(make)

    assert install_engine(other, None, 1).names == ("torch",)
    with pytest.raises(EngineUnavailable, match=said):
        install_engine(other, EngineName.OPENVINO, 1)


def test_openvino_reports_its_use_to_nobody() -> None:
    program = (
        "import sys; from qda_worker.models.engines.openvino import OpenVinoEngine as E; "
        "import transformers as t; "
        "config = t.BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1); "
        "E(config, t.BertModel(config).encoder.layer, 1); "
        "print([name for name, module in sys.modules.items() if 'openvino_telemetry' in name and module])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_one_graph_gives_the_numbers_of_several() -> None:
    one = network(NETWORKS[0])
    states = torch.randn(2, 7, one.config.hidden_size, generator=torch.Generator().manual_seed(3))
    layers, width = one.encoder.layer, one.config.hidden_size
    whole, parts = (GraphEngine(layer_graphs(layers, width, count), 1) for count in (len(layers), 1))

    with torch.inference_mode():
        assert torch.allclose(whole.forward(states, None), parts.forward(states, None), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layers_per_graph", [1, 2, 3, 20])
def test_there_is_a_pause_point_between_two_graphs(layers_per_graph: int) -> None:
    one = network(NETWORKS[1])
    layers = one.encoder.layer
    engine = GraphEngine(layer_graphs(layers, one.config.hidden_size, layers_per_graph), 1)
    pauses: list[None] = []

    with torch.inference_mode(), pausing(lambda: pauses.append(None)):
        engine.forward(torch.randn(2, 7, one.config.hidden_size), None)

    assert len(pauses) == math.ceil(len(layers) / layers_per_graph) - 1


def test_a_version_without_an_optional_property_computes_all_the_same() -> None:
    one = network(NETWORKS[0])
    (graph,) = layer_graphs(one.encoder.layer, one.config.hidden_size)
    core = openvino.Core()

    assert compile_graph(core, graph, {}, {"NO_SUCH_PROPERTY": 1}).inputs
    with pytest.raises(RuntimeError, match="NO_SUCH_PROPERTY"):
        compile_graph(core, graph, {"NO_SUCH_PROPERTY": 1}, {})
    with pytest.raises(RuntimeError, match="INFERENCE_NUM_THREADS"):
        compile_graph(core, graph, {"INFERENCE_NUM_THREADS": "many"}, {"NO_SUCH_PROPERTY": 1})


def test_the_installed_version_limits_kernels_by_an_undocumented_property() -> None:
    one = network(NETWORKS[0])
    (graph,) = layer_graphs(one.encoder.layer, one.config.hidden_size)

    assert openvino.Core().compile_model(graph, "CPU", kernel_limit("x86_64")).inputs
    assert list(kernel_limit("x86_64")) == list(kernel_limit("AMD64")) == [KERNEL_LIMIT_PROPERTY]
    assert kernel_limit("aarch64") == {}  # it keeps none there


@pytest.mark.parametrize("layers_per_graph", [1, 4])
def test_stored_graphs_of_any_number_of_layers_are_read(tmp_path: Path, layers_per_graph: int) -> None:
    one = network(NETWORKS[1])
    states = torch.randn(2, 7, one.config.hidden_size)
    for number, graph in enumerate(layer_graphs(one.encoder.layer, one.config.hidden_size, layers_per_graph)):
        openvino.save_model(graph, tmp_path / GRAPH_NAME.format(number=number), compress_to_fp16=False)
    expected = OpenVinoEngine(one.config, one.encoder.layer, 1)

    with torch.inference_mode():
        found = int8_engine(tmp_path, 1).forward(states, None)
        assert torch.allclose(found, expected.forward(states, None), rtol=0, atol=1e-5)


def test_stored_graphs_with_other_inputs_are_of_another_version(tmp_path: Path) -> None:
    states = opset13.parameter([-1, -1, 48], np.float32)
    readable = opset13.parameter([-1, 1, 1, -1], np.bool_)
    graph = openvino.Model([opset13.relu(states)], [states, readable], "layers")
    openvino.save_model(graph, tmp_path / GRAPH_NAME.format(number=0), compress_to_fp16=False)

    with pytest.raises(EngineUnavailable, match="another version of qda-worker made its graphs"):
        int8_engine(tmp_path, 1)


@pytest.mark.parametrize(
    ("positions", "expected"), [(512, LAYERS_PER_GRAPH), (514, LAYERS_PER_GRAPH), (8194, 2)]
)
def test_reduced_graphs_of_networks_for_long_texts_are_short(positions: int, expected: int) -> None:
    assert layers_per_graph(BertConfig(max_position_embeddings=positions)) == expected


def test_an_engine_is_closed_twice() -> None:
    one = network(NETWORKS[0])
    engine = OpenVinoEngine(one.config, one.encoder.layer, 1)

    engine.close()
    engine.close()


def test_without_the_package_torch_computes_unless_openvino_is_demanded() -> None:
    program = (
        "import sys; sys.modules['openvino'] = None; "
        "import transformers as t; from qda_worker.models.engines import base, selection; "
        "network = t.BertModel(t.BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1)); "
        "installed = selection.install_engine(network, None, 1); "
        "print(installed.names, installed.unavailable)\n"
        "try: selection.install_engine(network, base.EngineName.OPENVINO, 1)\n"
        "except base.EngineUnavailable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    auto, demanded = done.stdout.splitlines()

    assert auto.startswith("('torch',) openvino: the package openvino is not installed")
    assert demanded.startswith("the package openvino is not installed: pip install")


def test_the_installed_engines_come_with_what_was_measured() -> None:
    installed = install_engine(network(NETWORKS[0]), None, 1)

    assert {one.engine for one in installed.timings} == {"torch", "openvino"}
    assert installed.batch_tokens in BATCH_TOKENS


@pytest.mark.parametrize("wanted", [EngineName.TORCH, EngineName.OPENVINO])
def test_of_a_wanted_engine_nothing_is_measured(wanted: EngineName) -> None:
    """So its load waits for no turn either."""

    def take_turn() -> Never:
        raise AssertionError("a turn was taken")

    installed = install_engine(network(NETWORKS[0]), wanted, 1, take_turn)
    assert installed == InstalledEngines((str(wanted),))
