"""The encoder layers in bf16 or int8, computed by torch, from tensors that were stored.

bf16: all parameters of the layers are bfloat16, and so are the states between them.

int8: the weights of each linear layer are int8 with one scale for each output (symmetric, no zero point). The input has
one scale for each token, which follows from the token's greatest absolute number when it is computed. So the numbers of
a text do not depend on the texts in the same batch, except where a difference in the last digit, as fp32 has it too,
changes how a number is rounded. All other parameters are fp32. FBGEMM multiplies. Without VNNI it adds two products in
16 bits, which saturate if weights use all of their eight bits. So the weights have seven bits, and all processors give
the same integers.

torch's own `torch.ao.quantization` is deprecated and is not used. Its dynamic quantization has one scale for the whole
batch, and takes the bit from the input instead, which costs far more accuracy, because states have outliers and weights
do not. The multiplication itself is the operator of torch with a fixed scale of the input: each token is divided by its
greatest number before, and the products are multiplied by it afterwards. With the shapes of XLM-R base that takes 1.1
times as long as one scale for the batch, and no longer for a single text.

A stored tensor has the name of the parameter in the library's module: `layer.0.attention.self.query.weight`, and for
int8 `…weight` (int8), `…weight_scale` (float32) and `…bias` of each linear layer.
"""

import copy
import warnings
from collections.abc import Mapping
from typing import Any, Final

import torch

from qda_worker.models.engines.base import EngineName
from qda_worker.models.pauses import pause_point

_SCALE: Final = "weight_scale"
# torch's public functions make a quantized tensor from fp32 only.
_quantized: Final = torch._make_per_channel_quantized_tensor  # noqa: SLF001
_multiply: Final = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
# The backend of torch that multiplies; the name of its setting is global to the process.
BACKEND: Final = "fbgemm"
# Of a weight: 2 * 255 * 63 is less than 2**15.
_GREATEST: Final = 63
# Of an input between -1 and 1 in eight bits without sign.
_INPUT_SCALE: Final = 1 / 127
_INPUT_ZERO: Final = 127
# Tokens of zeros are divided by this.
_LEAST: Final = torch.finfo(torch.float32).tiny


class Bf16Engine:
    """The layers as transformers computes them, in bfloat16."""

    def __init__(self, encoder: torch.nn.Module, name: EngineName = EngineName.TORCH) -> None:
        """Wrap layers.

        Args:
            encoder: what `bf16_encoder` returns.
            name: of this engine on the device of the layers.
        """
        self._encoder, self.name = encoder, name

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the states after the last layer in float32, as `EncoderEngine.forward`."""
        output: torch.Tensor = self._encoder(states.bfloat16(), attention_mask=mask).last_hidden_state
        return output.float()

    def close(self) -> None:
        """Do nothing: the memory is released with the object."""


class DynamicInt8Linear(torch.nn.Module):
    """A linear layer with int8 weights, whose input is quantized token by token when it is computed."""

    def __init__(self, weight: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Store the weights again, in the order that the kernel reads.

        Args:
            weight: int8 [out, in].
            scales: float32 [out].
            bias: float32 [out], or None.
        """
        super().__init__()
        previous = torch.backends.quantized.engine
        with warnings.catch_warnings():
            # torch plans to remove its quantized tensors, of which one is needed for an instant to pack the weights.
            warnings.simplefilter("ignore", UserWarning)
            zeros = torch.zeros(len(scales), dtype=torch.int64)
            whole = _quantized(weight, scales.double(), zeros, 0)
            try:
                torch.backends.quantized.engine = BACKEND
                self._packed: Any = torch.ops.quantized.linear_prepack(whole, None)
            finally:
                torch.backends.quantized.engine = previous
        self._bias = bias

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return float32 [..., out] of float32 [..., in]."""
        pause_point()
        greatest = states.abs().amax(dim=-1, keepdim=True).clamp_min_(_LEAST)
        result: torch.Tensor = _multiply(states / greatest, _INPUT_SCALE, _INPUT_ZERO, self._packed)
        result.mul_(greatest)
        return result if self._bias is None else result.add_(self._bias)


def bf16_tensors(encoder: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters of fp32 layers in bfloat16."""
    return {name: tensor.detach().bfloat16() for name, tensor in encoder.state_dict().items()}


def int8_tensors(encoder: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters of fp32 layers, with the weights of linear layers in int8."""
    tensors = {name: tensor.detach() for name, tensor in encoder.state_dict().items()}
    for name, module in encoder.named_modules():
        if isinstance(module, torch.nn.Linear):
            weight = module.weight.detach()
            scales = (weight.abs().amax(dim=1) / _GREATEST).clamp_min(_LEAST)
            rounded = torch.round(weight / scales[:, None]).clamp(-_GREATEST, _GREATEST)
            tensors[f"{name}.weight"] = rounded.to(torch.int8)
            tensors[f"{name}.{_SCALE}"] = scales
    return tensors


def bf16_encoder(encoder: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Return a copy of fp32 layers that has these tensors as its parameters."""
    return _copy_with(encoder, tensors)


def int8_encoder(encoder: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Return a copy of fp32 layers whose linear layers compute in int8."""
    copied = _copy_with(encoder, tensors)
    for name, module in list(copied.named_modules()):
        for child, linear in list(module.named_children()):
            if isinstance(linear, torch.nn.Linear):
                path = f"{name}.{child}" if name else child
                bias = tensors.get(f"{path}.bias")
                setattr(
                    module,
                    child,
                    DynamicInt8Linear(tensors[f"{path}.weight"], tensors[f"{path}.{_SCALE}"], bias),
                )
    return copied


def _copy_with(encoder: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Copy the modules and their hooks, but none of their parameters.

    Raises:
        KeyError: when a tensor is missing.
        ValueError: when a tensor has another shape than the parameter.
    """
    memo: dict[int, Any] = {}
    for name, parameter in [*encoder.named_parameters(), *encoder.named_buffers()]:
        tensor = tensors[name]
        if tensor.shape != parameter.shape:
            raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, not {tuple(parameter.shape)}")
        memo[id(parameter)] = torch.nn.Parameter(tensor, requires_grad=False)
    return copy.deepcopy(encoder, memo)
