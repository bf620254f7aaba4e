"""Dense vectors by any sentence-transformers model, for the embedding and the paraphrase tasks.

Pooling, projection and normalising are the library's modules with the model's own files; nothing of it is retyped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from model_cache.catalog import Model
from qda_worker.errors import ModelUnusable
from qda_worker.models.base import (
    BatchBudget,
    Finished,
    InProcess,
    ModelInfo,
    Options,
    Prepared,
    Unit,
    describe,
    require_characters,
    usage_in_tokens,
)
from qda_worker.models.similarity import normalised
from qda_worker.models.tokens import Ids, Tokens, pad, position_limit, token_limit
from qda_worker.models.windows import weighted_mean


class EmbeddingModel(InProcess):
    """Vectors of texts, float32 [dimension], exactly as long as the model's own modules leave them.

    A text of several windows has the mean of their vectors, weighted by each window's content tokens, and then
    normalised if and only if the model ends by normalising. `_forward` holds the token embeddings of the same pass:
    the place where further heads (sparse, multi-vector) read from.
    """

    def __init__(
        self, info: ModelInfo, budget: BatchBudget, network: SentenceTransformer, tokens: Tokens
    ) -> None:
        self._info, self._budget = info, budget
        self._network, self._tokens = network, tokens
        self._prompt = _default_prompt(network)
        self._normalises = type(network[-1]).__name__ == "Normalize"

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._info

    @property
    def budget(self) -> BatchBudget:
        """How large a batch suits it on its device."""
        return self._budget

    def prepare(self, text: str, options: Options) -> Prepared[Ids]:
        """Tokenises and cuts, the model's default prompt before the text where its files name one."""
        require_characters(text)
        return self._tokens.prepare(self._prompt + text, options.long_text)

    def compute(self, units: Sequence[Unit[Ids]]) -> list[NDArray[np.float32]]:
        """The vector of each unit, float32 [dimension]."""
        with torch.inference_mode():
            vectors = self._forward(units)["sentence_embedding"]
            return list(vectors.float().cpu().numpy())

    def finish(
        self, text: str, prepared: Prepared[Ids], outputs: Sequence[NDArray[np.float32]]
    ) -> Finished[NDArray[np.float32]]:
        """The vector of one text, float32 [dimension]."""
        vector = weighted_mean(outputs, [window.length for window in prepared.windows])
        if prepared.windowed and self._normalises:
            vector = normalised(vector[np.newaxis])[0]
        return Finished(vector, usage_in_tokens(prepared))

    def _forward(self, units: Sequence[Unit[Ids]]) -> dict[str, Any]:
        """The library's features after all modules: `sentence_embedding`, `token_embeddings`, `attention_mask`."""
        ids, mask = pad(units, self._tokens.pad_id, self._network.device)
        features: dict[str, Any] = self._network({"input_ids": ids, "attention_mask": mask})
        return features


def load_embedding(model: Model, path: Path, device: str, budget: BatchBudget) -> EmbeddingModel:
    """Loads the sentence-transformers folder `path`, offline, in float32, without running any code of the folder's.

    Raises ModelUnusable where the library would go on with something that the folder does not say; the libraries'
    own exceptions for everything else.
    """
    if not (path / "modules.json").is_file():
        raise ModelUnusable(
            "modules.json is missing, without which the library would guess the pooling",
            "list modules.json and the files that it names under `files` in the catalog",
        )
    network = SentenceTransformer(
        str(path),
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": torch.float32, "weights_only": True},
    )
    network.eval()
    limit = token_limit(
        network.max_seq_length, position_limit(network[0].auto_model), model.serving.max_tokens
    )
    info = describe(model, max_length=limit, dimension=network.get_embedding_dimension())
    return EmbeddingModel(info, budget, network, Tokens(network.tokenizer, limit))


def _default_prompt(network: SentenceTransformer) -> str:
    """What `encode` puts before every text by itself; mostly nothing."""
    prompt = network.prompts.get(network.default_prompt_name or "", "") or ""
    if prompt and any(getattr(module, "include_prompt", True) is False for module in network):
        raise ModelUnusable(
            "its pooling leaves out its default prompt, which this worker cannot do",
            "use a model without a default prompt, or one whose pooling includes it",
        )
    return prompt
