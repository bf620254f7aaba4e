"""The three kinds of vectors of bge-m3 by the published formulas, with plain transformers and torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer


@dataclass(frozen=True)
class PlainVectors:
    dense: NDArray[np.float32]
    sparse: dict[str, float]
    multi: NDArray[np.float32]


class PlainM3:
    """Computes the vectors of one text as the authors' code does, from the files of a model with bge-m3's heads."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._network = AutoModel.from_pretrained(folder, dtype=torch.float32)
        self._limit = limit
        self._heads = {
            name: torch.load(folder / f"{name}_linear.pt", weights_only=True)
            for name in ("sparse", "colbert")
        }

    def __call__(self, text: str) -> PlainVectors:
        batch = self._tokenizer(text, truncation=True, max_length=self._limit, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._network(**batch).last_hidden_state[0]
        ids = batch["input_ids"][0].tolist()
        return PlainVectors(
            dense=torch.nn.functional.normalize(hidden[0], dim=0).numpy(),
            sparse=self._sparse(ids, torch.relu(self._linear("sparse", hidden))[:, 0].tolist()),
            multi=torch.nn.functional.normalize(self._linear("colbert", hidden[1:]), dim=-1).numpy(),
        )

    def _linear(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        head = self._heads[name]
        output: torch.Tensor = hidden @ head["weight"].float().T + head["bias"].float()
        return output

    def _sparse(self, ids: list[int], weights: list[float]) -> dict[str, float]:
        tokenizer = self._tokenizer
        unused = {
            tokenizer.cls_token_id,
            tokenizer.eos_token_id,
            tokenizer.pad_token_id,
            tokenizer.unk_token_id,
        }
        found: dict[str, float] = {}
        for number, weight in zip(ids, weights, strict=True):
            token = tokenizer.convert_ids_to_tokens(number)
            if number not in unused and weight > found.get(token, 0.0):
                found[token] = weight
        return found
