"""A network on a CUDA device: in fp32, in fp32 with TF32, or in bf16 from a prepared form.

On a CUDA device torch computes the whole network there, so that no states travel between its layers. The engine's name
says which numbers it gives:

| engine | products of fp32 | greatest difference from fp32 on the CPU |
| --- | --- | --- |
| `cuda` | fp32 | TOLERANCE, as every engine in fp32 |
| `cuda-tf32` | inputs rounded to 10 bits of mantissa | TF32_TOLERANCE; only on request |

In bf16 the encoder layers are those of the form's variant `torch-bf16`, and their error on the form's sample may be no
greater here than on CPUs (`prepared`).

A network is loaded on the CPU first. A few tokens and a long batch, for which torch has other kernels of attention, are
computed there and, after it was moved, on the device: a device, driver or build of torch that computes other numbers is
not used. The tensors on the CPU are kept until then, so that nothing of a failed device is needed to go back. TF32 is a
setting of the process, which is set either way, because images of NVIDIA switch it on by a variable. Batches have a
fixed size: nothing is measured.
"""

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import torch
from transformers import PreTrainedModel

from model_cache.catalog.catalog import Precision
from model_cache.prepared_form import PreparedForm
from qda_worker.models.base import InstalledEngines
from qda_worker.models.device_failures import first_line
from qda_worker.models.engines.base import TOLERANCE, EngineEncoder, EngineName, EngineUnavailable
from qda_worker.models.engines.measurement import relative_difference
from qda_worker.models.engines.prepared import load_bf16_on
from qda_worker.models.tokenization import position_limit

# Greatest difference with TF32, relative to the root mean square of the states. Emulated on CPUs, by rounding the
# inputs of every product: see docs/precision.md.
TF32_TOLERANCE: Final = 5e-2
# Padded tokens of a batch: the default `max_batch_tokens` of text-embeddings-inference for GPUs.
CUDA_BATCH_TOKENS: Final = 16384
# The first compute capability with TF32 and bf16 (Ampere).
_AMPERE: Final = (8, 0)
# Texts of the comparison with the CPU, and the tokens of its two batches. A network may have fewer positions.
_TEXTS: Final = 2
_TOKENS: Final = 12
_LONG_TOKENS: Final = 512


class CudaUse(Enum):
    """Whether a model is to be computed on a CUDA device."""

    NEVER = "never"
    IF_POSSIBLE = "if possible"
    ALWAYS = "always"


class NoCard(EngineUnavailable):
    """torch finds no CUDA device."""


@dataclass(frozen=True, slots=True)
class Card:
    """A CUDA device.

    Attributes:
        name: as the driver calls it.
        capability: compute capability, major and minor.
        architectures: what this build of torch has kernels for, such as `sm_80` and `compute_90`.
    """

    name: str
    capability: tuple[int, int]
    architectures: tuple[str, ...]


def cuda_use(device: str, engine: str) -> CudaUse:
    """Return whether a CUDA device is wanted.

    Args:
        device: auto, cpu or cuda.
        engine: auto, torch, openvino, cuda or cuda-tf32. torch and openvino mean the CPU unless `device` is cuda.
    """
    if device == "cuda" or engine in (EngineName.CUDA, EngineName.CUDA_TF32):
        return CudaUse.ALWAYS
    return CudaUse.IF_POSSIBLE if (device, engine) == ("auto", "auto") else CudaUse.NEVER


def find_card() -> Card:
    """Return the CUDA device that torch uses.

    Raises:
        NoCard: when there is none, with the reason.
        EngineUnavailable: when it does not answer.
    """
    if not torch.cuda.is_available():
        detail = "" if torch.version.cuda else ": this torch is a build without CUDA"
        raise NoCard(f"this machine has no CUDA device that torch can use{detail}")
    try:
        properties = torch.cuda.get_device_properties(0)
    except RuntimeError as error:
        raise EngineUnavailable(f"the card does not answer: {first_line(error)}") from error
    return Card(properties.name, (properties.major, properties.minor), tuple(torch.cuda.get_arch_list()))


def missing_features(card: Card, precision: Precision, *, tf32: bool) -> str:
    """Return why a card cannot compute a model, as a predicate; empty if it can.

    Args:
        card: the card.
        precision: of the model.
        tf32: whether TF32 was requested.
    """
    capability = ".".join(map(str, card.capability))
    if not any(_runs_on(architecture, card.capability) for architecture in card.architectures):
        return (
            f"has the compute capability {capability}, and this torch has kernels for "
            f"{', '.join(card.architectures) or 'none'} only"
        )
    if precision is Precision.INT8:
        return "computes no int8: forms in int8 are computed on the CPU"
    if card.capability < _AMPERE and (tf32 or precision is Precision.BF16):
        feature = "TF32" if tf32 else "bf16"
        return f"has the compute capability {capability}, and {feature} needs 8.0 or later"
    return ""


def _runs_on(architecture: str, capability: tuple[int, int]) -> bool:
    """Return whether code for an architecture runs: machine code within a major version, `compute_` on all later ones.

    Names with a letter at the end, such as `sm_90a`, are of that one architecture.
    """
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", architecture)
    if found is None:
        return False
    made_for = (int(found[2]), int(found[3]))
    if found[4]:
        return made_for == capability
    return made_for <= capability and (found[1] == "compute" or made_for[0] == capability[0])


def allow_tf32(*, allowed: bool) -> None:
    """Set for this process whether products of fp32 may be computed in TF32."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def avoid_plans_by_shape() -> None:
    """Let torch choose among kernels of attention that serve every shape.

    For bf16 on Hopper it prefers cuDNN, which compiles a plan for each new number of texts and tokens: tens of
    milliseconds, more than a batch takes, and the batches of a worker have ever new shapes.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def install_cuda(
    network: PreTrainedModel,
    card: Card,
    *,
    tf32: bool = False,
    form: tuple[Path, PreparedForm] | None = None,
    device: str = "cuda",
) -> InstalledEngines:
    """Move a network to a device, and compare what it computes there.

    Args:
        network: in fp32, on the CPU, in evaluation mode. It stays there if this raises.
        card: the device.
        tf32: whether products may be computed in TF32.
        form: folder and record of the prepared form of a model that is not served in fp32.
        device: torch's name of the device.

    Raises:
        EngineUnavailable: when the card lacks what is needed, has too little memory, or computes other numbers.
    """
    precision = Precision.FP32 if form is None else form[1].precision
    if reason := missing_features(card, precision, tf32=tf32):
        raise EngineUnavailable(f"the card {card.name} {reason}")
    allow_tf32(allowed=tf32)
    avoid_plans_by_shape()
    name = EngineName.CUDA_TF32 if tf32 else EngineName.CUDA
    base: Any = network.base_model
    encoder, kept = getattr(base, "encoder", None), _CpuTensors(network)
    try:
        if form is None:
            _move_and_compare(network, card, device, TF32_TOLERANCE if tf32 else TOLERANCE)
        else:
            engine = load_bf16_on(device, network, *form, name)
            base.encoder = EngineEncoder(lambda _texts, _tokens: engine)
            network.to(device)  # type: ignore[arg-type]  # typed for a torch.device
    except Exception as error:
        if form is not None:
            base.encoder = encoder
        kept.restore()
        if isinstance(error, EngineUnavailable):
            raise
        reason = f"{type(error).__name__}: {first_line(error)}"  # libraries raise anything
        raise EngineUnavailable(f"the card {card.name} failed: {reason}") from error
    return InstalledEngines((str(name),), batch_tokens=CUDA_BATCH_TOKENS, device=device)


class _CpuTensors:
    """The tensors of a network on the CPU. They are kept, not copied: moving the network puts others in their place."""

    def __init__(self, network: PreTrainedModel) -> None:
        self._modules: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
            (module, dict(module._parameters), dict(module._buffers))  # noqa: SLF001
            for module in network.modules()
        ]
        self._data = [(parameter, parameter.data) for parameter in network.parameters()]

    def restore(self) -> None:
        """Put them back, without any operation on the device, which may have failed."""
        for parameter, data in self._data:
            parameter.data = data
        for module, parameters, buffers in self._modules:
            module._parameters.update(parameters)  # noqa: SLF001
            module._buffers.update(buffers)  # noqa: SLF001


def _move_and_compare(network: PreTrainedModel, card: Card, device: str, tolerance: float) -> None:
    lengths = (_TOKENS, min(_LONG_TOKENS, position_limit(network) or _LONG_TOKENS))
    expected = [last_states(network, tokens) for tokens in lengths]
    network.to(device)  # type: ignore[arg-type]  # typed for a torch.device
    for tokens, states in zip(lengths, expected, strict=True):
        difference = relative_difference(last_states(network, tokens), states)
        if not difference <= tolerance:
            raise EngineUnavailable(
                f"the numbers of the card {card.name} differ from the CPU's by {difference:.1e} with {tokens} "
                f"tokens, and at most {tolerance:.0e} is allowed"
            )


def last_states(network: PreTrainedModel, tokens: int = _TOKENS) -> torch.Tensor:
    """Return the states after the last layer for a fixed padded batch, float32 [tokens, width], on the CPU."""
    base: Any = network.base_model
    vocabulary = base.get_input_embeddings().num_embeddings
    ids = torch.randint(vocabulary, (_TEXTS, tokens), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, tokens // 2 :] = 0
    with torch.inference_mode():
        states: torch.Tensor = base(input_ids=ids.to(network.device), attention_mask=mask.to(network.device))[
            0
        ]
    return states.cpu()[mask.bool()]
