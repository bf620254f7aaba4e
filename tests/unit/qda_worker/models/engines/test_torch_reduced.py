"""Encoder layers of torch in bf16 and int8."""

from typing import Any
from unittest.mock import Mock

import pytest
import torch
from transformers import BertConfig, BertModel

from qda_worker.models.engines.base import TorchEngine
from qda_worker.models.engines.torch_reduced import (
    Bf16Engine,
    DynamicInt8Linear,
    bf16_encoder,
    bf16_tensors,
    int8_encoder,
    int8_tensors,
)
from qda_worker.models.layer_pauses import add_pause_points
from qda_worker.models.pauses import pausing


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64
    )
    network: Any = BertModel(config)
    network.eval()
    add_pause_points(network)
    return network


@pytest.fixture
def states() -> torch.Tensor:
    return torch.randn(3, 17, 32, generator=torch.Generator().manual_seed(2))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt())


def test_both_are_close_to_fp32_and_leave_it_unchanged(network: Any, states: torch.Tensor) -> None:
    encoder = network.encoder
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with torch.inference_mode():
        expected = TorchEngine(encoder).forward(states, None)
        bf16 = Bf16Engine(bf16_encoder(encoder, bf16_tensors(encoder))).forward(states, None)
        int8 = TorchEngine(int8_encoder(encoder, int8_tensors(encoder))).forward(states, None)
    assert bf16.dtype == int8.dtype == torch.float32
    assert 0 < relative_error(bf16, expected) < 0.01
    assert 0 < relative_error(int8, expected) < 0.03
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())


def test_padding_does_not_change_the_other_tokens(network: Any, states: torch.Tensor) -> None:
    mask = torch.ones(3, 1, 17, 17, dtype=torch.bool)
    mask[..., 9:] = False
    changed = states.clone()
    changed[:, 9:] = 50 * states[:, 9:].flip(0)
    encoder = network.encoder
    for engine in (
        Bf16Engine(bf16_encoder(encoder, bf16_tensors(encoder))),
        TorchEngine(int8_encoder(encoder, int8_tensors(encoder))),
    ):
        with torch.inference_mode():
            one, other = engine.forward(states, mask), engine.forward(changed, mask)
        assert relative_error(one[:, :9], other[:, :9]) < 1e-5


def test_a_token_of_int8_does_not_depend_on_the_others(network: Any, states: torch.Tensor) -> None:
    linear = network.encoder.layer[0].output.dense
    layer: Any = torch.nn.Sequential(linear)
    encoder = int8_encoder(layer, int8_tensors(layer))
    inputs = torch.randn(3, 17, 64, generator=torch.Generator().manual_seed(3))
    beside_greater = inputs.clone()
    beside_greater[1:] *= 1000
    beside_greater[0, 0] = 0
    with torch.inference_mode():
        alone, found = encoder(inputs[:1]), encoder(beside_greater)
        expected = linear(inputs[:1])
    assert torch.equal(found[0, 1:], alone[0, 1:])
    assert torch.allclose(found[0, 0], linear.bias, atol=1e-6), "a token of zeros"
    assert 0 < relative_error(alone, expected) < 0.02


def test_numbers_that_are_not_finite_stay_so() -> None:
    layer: Any = torch.nn.Sequential(torch.nn.Linear(16, 4))
    encoder = int8_encoder(layer, int8_tensors(layer))
    inputs = torch.ones(3, 16)
    inputs[0, 3], inputs[1, 3] = float("nan"), float("inf")
    with torch.inference_mode():
        finite = encoder(inputs).isfinite().all(dim=1).tolist()
    assert finite == [False, False, True]


def test_the_greatest_weights_and_inputs_do_not_saturate() -> None:
    """On processors without VNNI, two products are added in 16 bits."""
    weight = torch.full((8, 64), 1.0)
    layer: Any = torch.nn.Sequential(torch.nn.Linear(64, 8, bias=False))
    layer[0].weight.data = weight
    tensors = int8_tensors(layer)
    assert int(tensors["0.weight"].abs().max()) * 255 * 2 < 2**15
    computed = DynamicInt8Linear(tensors["0.weight"], tensors["0.weight_scale"], None)(torch.ones(5, 64))
    assert torch.allclose(computed, torch.full((5, 8), 64.0), rtol=0.01)


def test_an_output_whose_weights_are_zero_is_its_bias() -> None:
    layer: Any = torch.nn.Sequential(torch.nn.Linear(16, 4))
    layer[0].weight.data[2] = 0
    encoder = int8_encoder(layer, int8_tensors(layer))
    with torch.inference_mode():
        found = encoder(torch.randn(3, 16))
    assert torch.equal(found[:, 2], layer[0].bias[2].expand(3).detach())


def test_int8_tensors_take_a_quarter_of_the_bytes(network: Any) -> None:
    encoder = network.encoder
    matrices = [name for name, tensor in encoder.state_dict().items() if tensor.dim() == 2]
    tensors = int8_tensors(encoder)
    assert all(tensors[name].dtype is torch.int8 for name in matrices)
    assert all(tensor.dtype is torch.bfloat16 for tensor in bf16_tensors(encoder).values())


def test_a_long_pass_pauses_between_linear_layers(network: Any, states: torch.Tensor) -> None:
    for engine in (
        Bf16Engine(bf16_encoder(network.encoder, bf16_tensors(network.encoder))),
        TorchEngine(int8_encoder(network.encoder, int8_tensors(network.encoder))),
    ):
        pauses = Mock()
        with torch.inference_mode(), pausing(pauses):
            engine.forward(states, None)
        assert pauses.call_count == 3 * 6


def test_tensors_of_another_network_are_refused(network: Any) -> None:
    tensors = bf16_tensors(network.encoder)
    with pytest.raises(KeyError):
        bf16_encoder(network.encoder, {})
    tensors["layer.0.output.dense.weight"] = torch.zeros(3, 3)
    with pytest.raises(ValueError, match="shape"):
        bf16_encoder(network.encoder, tensors)
