"""The linear layers beside an encoder that bge-m3 makes its sparse weights and its multi-vectors with.

As published with the model (FlagEmbedding, `m3`): sparse is `relu(W h + b)`, one number a token; multi-vector is
`W h + b` of every token but the first, brought to length 1. Which heads a model has follows from its files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch.nn.functional import normalize

from qda_worker.errors import ModelUnusable
from qda_worker.models.base import VectorKind
from qda_worker.models.load_errors import explain_file

SPARSE_FILE: Final = "sparse_linear.pt"
MULTI_FILE: Final = "colbert_linear.pt"


@dataclass(frozen=True, slots=True)
class Heads:
    """Those that there are, on the encoder's device, in float32."""

    sparse: torch.nn.Linear | None = None
    multi: torch.nn.Linear | None = None

    def of(self, kind: VectorKind) -> torch.nn.Linear | None:
        """The head that makes vectors of that kind; None for DENSE, which needs none."""
        return {VectorKind.SPARSE: self.sparse, VectorKind.MULTI_VECTOR: self.multi}.get(kind)

    @property
    def kinds(self) -> tuple[VectorKind, ...]:
        """What a model with these heads gives; dense vectors need none."""
        return tuple(kind for kind in VectorKind if kind is VectorKind.DENSE or self.of(kind) is not None)


def load_heads(folder: Path, width: int, device: torch.device) -> Heads:
    """The heads whose files are in `folder`, for an encoder of that width. Runs no code of theirs.

    Raises ModelUnusable for a file that holds more than tensors, is damaged, or does not fit the encoder.
    """
    sparse = _load(folder / SPARSE_FILE, width, device)
    if sparse is not None and sparse.out_features != 1:
        raise _unfit(SPARSE_FILE, f"gives {sparse.out_features} numbers a token instead of 1")
    return Heads(sparse, _load(folder / MULTI_FILE, width, device))


def sparse_weights(head: torch.nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    """The weight of each token, [tokens], from the encoder's states [tokens, width]."""
    return torch.relu(head(hidden)).squeeze(-1)


def multi_vectors(head: torch.nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    """The vector of each token, [tokens, dimension], each of length 1."""
    return normalize(head(hidden), dim=-1)


def _load(file: Path, width: int, device: torch.device) -> torch.nn.Linear | None:
    if not file.is_file():
        return None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything over a damaged or foreign file
        cause = explain_file(error, file, file.name)
        raise ModelUnusable(cause.message, cause.remedy) from error
    weight, bias = _tensors(state, file.name)
    if weight.shape[1] != width:
        raise _unfit(
            file.name, f"reads states of width {weight.shape[1]}, and the encoder's are {width} wide"
        )
    head = torch.nn.Linear(width, weight.shape[0], bias=bias is not None, device="meta")
    head.load_state_dict(
        {"weight": weight.float()} if bias is None else {"weight": weight.float(), "bias": bias.float()},
        assign=True,
    )
    return head.to(device).eval()


def _tensors(state: object, name: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The weight [out, width] and the bias [out] of a linear layer, and nothing else."""
    if not isinstance(state, dict) or not set(state) <= {"weight", "bias"} or "weight" not in state:
        raise _unfit(name, "holds something else than the weight and bias of a linear layer")
    weight, bias = state["weight"], state.get("bias")
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2 or not weight.is_floating_point():
        raise _unfit(name, "holds no matrix of weights")
    if bias is not None and (not isinstance(bias, torch.Tensor) or bias.shape != weight.shape[:1]):
        raise _unfit(name, "has a bias of another size than its weight")
    return weight, bias


def _unfit(name: str, what: str) -> ModelUnusable:
    return ModelUnusable(f"{name} {what}", "take all files of the model from one commit of its repository")
