"""Training of the torch models: fixed seed, one thread, one optimizer, reproducible files."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from safetensors.torch import save_file

_WARM_UP: Final = 0.06  # share of all steps
_WEIGHT_DECAY: Final = 0.01
_LARGEST_GRADIENT: Final = 1.0

Item = TypeVar("Item")


def make_deterministic(seed: int) -> None:
    """Make torch deterministic. One thread, because floating-point sums depend on their order."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)


def init_mean_attention(layers: Iterable[Any]) -> None:
    """Initialize the attention of each layer as the mean over all tokens, which takes longest to learn."""
    with torch.no_grad():
        for layer in layers:
            torch.nn.init.eye_(layer.attention.self.value.weight)
            torch.nn.init.eye_(layer.attention.output.dense.weight)


def train(
    parameters: Iterable[torch.nn.Parameter],
    batches: Sequence[Item],
    loss_of: Callable[[Item], torch.Tensor],
    *,
    learning_rate: float,
) -> float:
    """Train with AdamW, one step per batch, on a cosine schedule; return the mean loss of the last tenth."""
    weights = list(parameters)
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=_WEIGHT_DECAY)
    warm_up = max(1, int(len(batches) * _WARM_UP))

    def rate(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, len(batches) - warm_up)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    losses: list[float] = []
    for batch in batches:
        loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        torch.nn.utils.clip_grad_norm_(weights, _LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)


def write_json(path: Path, content: Any) -> None:
    """Write JSON indented as in the files of the hub, without a final line break."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), "utf-8")


def write_safetensors(model: torch.nn.Module, path: Path) -> None:
    """Write the model's weights as fp32, with the names that transformers expects."""
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, path, metadata={"format": "pt"})
