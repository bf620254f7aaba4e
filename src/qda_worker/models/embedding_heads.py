"""The linear layers beside an encoder that produce bge-m3's sparse weights and multi-vectors.

The formulas are those published with the model (Chen et al., "BGE M3-Embedding", 2024; code in FlagEmbedding, `m3`).
For the encoder's state h of a token: sparse weight = relu(W h + b), one number; multi-vector = (W h + b) / |W h + b|,
for every token except the first. Which heads a model has follows from its files; both are stored in float16 and
computed in float32 here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch.nn.functional import normalize

from qda_worker.errors import ModelUnusable
from qda_worker.models.base import VectorKind
from qda_worker.models.load_errors import explain_file_error

SPARSE_FILE: Final = "sparse_linear.pt"
MULTI_FILE: Final = "colbert_linear.pt"


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of a model, in float32; None where the file is absent."""

    sparse: torch.nn.Linear | None = None
    multi: torch.nn.Linear | None = None

    def for_kind(self, kind: VectorKind) -> torch.nn.Linear | None:
        """Return the head for a kind of vector; None for DENSE, which needs none."""
        return {VectorKind.SPARSE: self.sparse, VectorKind.MULTI_VECTOR: self.multi}.get(kind)

    @property
    def kinds(self) -> tuple[VectorKind, ...]:
        """Kinds of vectors that a model with these heads produces."""
        return tuple(
            kind for kind in VectorKind if kind is VectorKind.DENSE or self.for_kind(kind) is not None
        )

    def to(self, device: str) -> "Heads":
        """Return them after they were moved to the encoder's device."""
        for head in (self.sparse, self.multi):
            if head is not None:
                head.to(device)
        return self


def load_heads(folder: Path, width: int) -> Heads:
    """Load the heads whose files are in `folder`, without running code of theirs.

    Args:
        folder: folder of the model.
        width: hidden size of the encoder.

    Raises:
        ModelUnusable: when a file holds more than tensors, is damaged, or does not fit the encoder.
    """
    sparse = _load(folder / SPARSE_FILE, width)
    if sparse is not None and sparse.out_features != 1:
        raise _does_not_fit(SPARSE_FILE, f"gives {sparse.out_features} numbers a token instead of 1")
    return Heads(sparse, _load(folder / MULTI_FILE, width))


def sparse_weights(head: torch.nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    """Return the weight of each token, [tokens], from the encoder's states, [tokens, width]."""
    return torch.relu(head(hidden)).squeeze(-1)


def multi_vectors(head: torch.nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    """Return the vector of each token, [tokens, dimension], of length 1, from the states, [tokens, width]."""
    return normalize(head(hidden), dim=-1)


def _load(file: Path, width: int) -> torch.nn.Linear | None:
    if not file.is_file():
        return None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything for a damaged or foreign file
        cause = explain_file_error(error, file, file.name)
        raise ModelUnusable(cause.message, cause.remedy) from error
    weight, bias = _linear_tensors(state, file.name)
    if weight.shape[1] != width:
        raise _does_not_fit(
            file.name, f"reads states of width {weight.shape[1]}, and the encoder's are {width} wide"
        )
    head = torch.nn.Linear(width, weight.shape[0], bias=bias is not None, device="meta")
    head.load_state_dict(
        {"weight": weight.float()} if bias is None else {"weight": weight.float(), "bias": bias.float()},
        assign=True,
    )
    return head.eval()


def _linear_tensors(state: object, name: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the weight, [out, width], and the bias, [out], of a file that holds one linear layer and nothing else."""
    if not isinstance(state, dict) or not set(state) <= {"weight", "bias"} or "weight" not in state:
        raise _does_not_fit(name, "holds something else than the weight and bias of a linear layer")
    weight, bias = state["weight"], state.get("bias")
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2 or not weight.is_floating_point():
        raise _does_not_fit(name, "holds no matrix of weights")
    if bias is not None and (not isinstance(bias, torch.Tensor) or bias.shape != weight.shape[:1]):
        raise _does_not_fit(name, "has a bias of another size than its weight")
    return weight, bias


def _does_not_fit(name: str, what: str) -> ModelUnusable:
    return ModelUnusable(f"{name} {what}", "take all files of the model from one commit of its repository")
