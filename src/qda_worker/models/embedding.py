"""Vectors by any sentence-transformers model, for the embedding and the paraphrase tasks.

Pooling, projection and normalization are the library's modules, configured by the model's own files. They differ:
bge-m3 uses CLS pooling and normalizes, paraphrase-multilingual-mpnet-base-v2 uses mean pooling and does not. Models
with bge-m3's heads (`embedding_heads`) give sparse weights and multi-vectors from the same pass.

Loading is stricter than the library in two places, because it would continue silently with meaningless vectors:

- Without modules.json, sentence-transformers builds a default mean pooling.
- If the files lack tensors of the encoder, transformers fills them with random numbers and only logs it. So its report
  of missing keys is checked (`embedding_encoder`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from model_cache.catalog.catalog import Model
from qda_worker.errors import ModelFailed, ModelUnusable, TextTooLong
from qda_worker.models.base import (
    InstallEngine,
    ModelInfo,
    Options,
    PreparedText,
    TextResult,
    Unit,
    VectorKind,
    keep_torch,
    model_info,
    require_non_empty,
    run_steps,
    usage_in_tokens,
)
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.models.device_failures import device_failures
from qda_worker.models.embedding_encoder import leave_out_pooler, require_encoder_weights
from qda_worker.models.embedding_heads import Heads, load_heads, multi_vectors, sparse_weights
from qda_worker.models.in_process import InProcessModel
from qda_worker.models.layer_pauses import add_pause_points
from qda_worker.models.pair_search import normalize_rows
from qda_worker.models.prompts import Prompts, load_prompts
from qda_worker.models.text_pieces import split_pieces
from qda_worker.models.tokenization import (
    Ids,
    TextTokenizer,
    pad_batch,
    position_limit,
    token_limit,
    weighted_mean,
)
from qda_worker.models.vectors import (
    MAX_MULTI_VECTOR_TOKENS,
    SparseWeights,
    TextVectors,
    VectorOptions,
    join_window_rows,
    max_weights,
)


@dataclass(frozen=True, slots=True, eq=False)
class VectorInput:
    """One window of a text.

    Attributes:
        ids: token ids, int32 [tokens].
        options: which vectors of the text are requested.
        unpooled: tokens at the beginning that the pooling leaves out: those of a prompt, for some models.
    """

    ids: Ids
    options: VectorOptions
    unpooled: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class WindowVectors:
    """The output of one pass for one window. Kinds that were not requested are None.

    Attributes:
        dense: float32 [dimension].
        weights: float32 [tokens].
        rows: float32 [tokens - 1, dimension].
    """

    dense: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None
    rows: NDArray[np.float32] | None = None


class EmbeddingModel(InProcessModel):
    """Vectors of texts in float32, as the model's own modules compute them.

    A text of several windows gets: the mean of their dense vectors, weighted by the content tokens of each window, and
    normalized again if and only if the model normalizes; the greatest sparse weight of each token; and one row per
    token (`join_window_rows`).
    """

    def __init__(
        self,
        info: ModelInfo,
        budget: BatchBudget,
        network: SentenceTransformer,
        tokenizer: TextTokenizer,
        heads: Heads,
        prompts: Prompts,
    ) -> None:
        self._info, self._budget = info, budget
        self._network, self._tokenizer, self._heads = network, tokenizer, heads
        self._prompts = prompts
        self._normalizes = type(network[-1]).__name__ == "Normalize"
        self._unweighted_ids = _unweighted_ids(network.tokenizer)

    @property
    def info(self) -> ModelInfo:
        """Static facts about the model."""
        return self._info

    @property
    def budget(self) -> BatchBudget:
        """Batch size that suits the model on its device, in tokens."""
        return self._budget

    @property
    def network(self) -> Any:
        """The encoder, of transformers."""
        return self._network[0].auto_model

    def prepare_steps(self, text: str, options: Options) -> Iterator[PreparedText[VectorInput] | None]:
        """Put the prompt, if there is one, before the text, tokenize it and apply the length policy.

        Yields:
            As `TextModel.prepare_steps`.

        Raises:
            TextEmpty: when the text has no characters.
            TextTooLong: when the text exceeds the limit under the policy ERROR, or multi-vectors are requested of more
                than MAX_MULTI_VECTOR_TOKENS tokens.
        """
        require_non_empty(text)
        vector_options = (
            options if isinstance(options, VectorOptions) else VectorOptions(long_text=options.long_text)
        )
        prompt = self._prompts.get(vector_options.prompt_name)
        pieces = split_pieces(prompt.text + text, self._tokenizer.blanks)
        for prepared in self._tokenizer.prepare_steps(pieces, options.long_text, prompt.ids):
            yield None if prepared is None else _with_options(prepared, vector_options, prompt.unpooled)

    def prepare(self, text: str, options: Options) -> PreparedText[VectorInput]:
        """Take all steps of `prepare_steps` at once."""
        return run_steps(self.prepare_steps(text, options))

    def compute(self, units: Sequence[Unit[VectorInput]]) -> list[WindowVectors]:
        """Run one pass over a batch. Each head only sees the tokens of units that request its kind.

        Units whose pooling leaves out different numbers of tokens take a pass each, as the pooling has one number.
        """
        lengths = sorted({unit.payload.unpooled for unit in units})
        if len(lengths) == 1:
            return self._compute(units, lengths[0])
        computed: dict[int, WindowVectors] = {}
        for length in lengths:
            numbers = [number for number, unit in enumerate(units) if unit.payload.unpooled == length]
            passed = self._compute([units[number] for number in numbers], length)
            computed.update(zip(numbers, passed, strict=True))
        return [computed[number] for number in range(len(units))]

    def _compute(self, units: Sequence[Unit[VectorInput]], unpooled: int) -> list[WindowVectors]:
        with torch.inference_mode(), device_failures():
            ids, mask = pad_batch(
                [unit.payload.ids for unit in units], self._tokenizer.pad_id, self._network.device
            )
            inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
            if unpooled:
                inputs["prompt_length"] = unpooled
            features: dict[str, Any] = self._network(inputs)
            dense = features["sentence_embedding"].float().cpu().numpy()
            states = features["token_embeddings"]
            weights = self._apply_head(VectorKind.SPARSE, units, states)
            rows = self._apply_head(VectorKind.MULTI_VECTOR, units, states)
        return [
            WindowVectors(dense[number], weights.get(number), rows.get(number))
            for number in range(len(units))
        ]

    def finish(
        self, text: str, prepared: PreparedText[VectorInput], outputs: Sequence[WindowVectors]
    ) -> TextResult[TextVectors]:
        """Return the vectors of one text.

        Raises:
            ModelFailed: when the model produced a number that is not finite.
        """
        options = prepared.units[0].payload.options
        vectors = TextVectors(
            dense=self._dense(prepared, outputs, options) if VectorKind.DENSE in options.kinds else None,
            sparse=self._sparse(prepared, outputs) if VectorKind.SPARSE in options.kinds else None,
            multi=self._multi(prepared, outputs) if VectorKind.MULTI_VECTOR in options.kinds else None,
        )
        usage = usage_in_tokens(prepared, self._prompt_length(prepared))
        return TextResult(vectors, usage)

    def _prompt_length(self, prepared: PreparedText[VectorInput]) -> int:
        """Return the number of tokens of the prompt, which every window has."""
        return prepared.units[0].length - prepared.windows[0].length - self._tokenizer.special_length

    def _apply_head(
        self, kind: VectorKind, units: Sequence[Unit[VectorInput]], states: torch.Tensor
    ) -> dict[int, NDArray[np.float32]]:
        """Apply a head to the tokens of each unit that requests its kind; return its output by unit number."""
        head = self._heads.for_kind(kind)
        numbers = [number for number, unit in enumerate(units) if kind in unit.payload.options.kinds]
        if not numbers or head is None:
            return {}
        first = 1 if kind is VectorKind.MULTI_VECTOR else 0
        hidden = [states[number, first : units[number].length] for number in numbers]
        function = multi_vectors if kind is VectorKind.MULTI_VECTOR else sparse_weights
        output = function(head, torch.cat(hidden).float()).cpu()
        parts = np.split(output.numpy(), np.cumsum([len(one) for one in hidden])[:-1])
        return dict(zip(numbers, parts, strict=True))

    def _dense(
        self, prepared: PreparedText[VectorInput], outputs: Sequence[WindowVectors], options: VectorOptions
    ) -> NDArray[np.float32]:
        lengths = [window.length for window in prepared.windows]
        vector = weighted_mean([output.dense for output in outputs], lengths)
        shortened = vector[: options.dimension]
        changed = prepared.windowed or len(shortened) < len(vector)
        if options.normalize or (changed and self._normalizes):
            shortened = normalize_rows(shortened[np.newaxis])[0]
        return _require_finite(shortened)

    def _sparse(self, prepared: PreparedText[VectorInput], outputs: Sequence[WindowVectors]) -> SparseWeights:
        ids = np.concatenate([unit.payload.ids for unit in prepared.units])
        weights = np.concatenate([output.weights for output in outputs if output.weights is not None])
        ids, weights = max_weights(ids, _require_finite(weights), self._unweighted_ids)
        return SparseWeights(ids, weights, self._tokenizer.tokens(ids.tolist()))

    def _multi(
        self, prepared: PreparedText[VectorInput], outputs: Sequence[WindowVectors]
    ) -> NDArray[np.float32]:
        rows = [output.rows for output in outputs if output.rows is not None]
        prefix_length = self._tokenizer.prefix_length + self._prompt_length(prepared)
        return _require_finite(join_window_rows(rows, prepared.windows, prefix_length))


def _with_options(
    prepared: PreparedText[Ids], options: VectorOptions, unpooled: int
) -> PreparedText[VectorInput]:
    """Return a tokenized text with the requested vectors in its units.

    Raises:
        TextTooLong: when multi-vectors are requested of more than MAX_MULTI_VECTOR_TOKENS tokens.
    """
    if VectorKind.MULTI_VECTOR in options.kinds and prepared.used_length > MAX_MULTI_VECTOR_TOKENS:
        raise TextTooLong(
            f"the text has {prepared.used_length} tokens, and multi-vectors are given for at most "
            f"{MAX_MULTI_VECTOR_TOKENS}",
            "split the text, or use the long-text policy CUT",
        )
    return PreparedText(
        units=tuple(
            Unit(VectorInput(unit.payload, options, unpooled), unit.length) for unit in prepared.units
        ),
        windows=prepared.windows,
        length=prepared.length,
        used_length=prepared.used_length,
        counted=prepared.counted,
    )


def load_embedding(
    model: Model, path: Path, budget: BatchBudget, install_engine: InstallEngine = keep_torch
) -> EmbeddingModel:
    """Load a sentence-transformers model, offline, in float32, without running code of its folder.

    Args:
        model: the catalog entry.
        path: folder of the model.
        budget: batch limits, in tokens.
        install_engine: puts an engine into the encoder, and may move it to another device.

    Raises:
        ModelUnusable: when the library would continue with something that the folder does not specify. Everything else
            is raised as the libraries' own exceptions.
    """
    if not (path / "modules.json").is_file():
        raise ModelUnusable(
            "modules.json is missing, without which the library would guess the pooling",
            "list modules.json and the files that it names under `files` in the catalog",
        )
    network = SentenceTransformer(
        str(path),
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": torch.float32, "weights_only": True},
    )
    network.eval()
    encoder: Any = network[0].auto_model
    require_encoder_weights(encoder, path)
    leave_out_pooler(network)
    add_pause_points(encoder)
    limit = token_limit(network.max_seq_length, position_limit(encoder), model.serving.max_tokens)
    tokenizer = TextTokenizer(network.tokenizer, limit)
    heads = load_heads(path, encoder.config.hidden_size)
    if heads.multi is not None and tokenizer.prefix_length < 1:
        raise ModelUnusable(
            "its tokenizer puts no special token before a text, and multi-vectors leave the first token out",
            "take colbert_linear.pt out of `files` in the catalog, or use another model",
        )
    dimension = network.get_embedding_dimension()
    shortened = model.serving.shortened_dimensions
    if dimension is not None and any(length >= dimension for length in shortened):
        raise ModelUnusable(
            f"serving.shortened_dimensions names {max(shortened)}, and its vectors have {dimension} numbers",
            "correct serving.shortened_dimensions in the catalog",
        )
    prompts = load_prompts(model, network, tokenizer)
    engines = install_engine(encoder)
    network.to(engines.device)
    info = model_info(
        model,
        max_length=limit,
        dimension=dimension,
        shortened_dimensions=shortened,
        vector_kinds=heads.kinds,
        multi_dimension=None if heads.multi is None else heads.multi.out_features,
        max_token_bytes=tokenizer.max_token_bytes,
        engines=engines,
        prompts=prompts.texts,
        default_prompt=prompts.default,
    )
    budget = engines.budget(budget)
    return EmbeddingModel(info, budget, network, tokenizer, heads.to(engines.device), prompts)


def _unweighted_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids of the special tokens that get no sparse weight in bge-m3's reference code (FlagEmbedding)."""
    ids = (getattr(tokenizer, f"{name}_token_id", None) for name in ("cls", "eos", "pad", "unk"))
    return frozenset(number for number in ids if number is not None)


def _require_finite(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(numbers).all():
        raise ModelFailed("the model's numbers for this text are not finite")
    return numbers
