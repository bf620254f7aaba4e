"""Vectors by any sentence-transformers model, for the embedding and the paraphrase tasks.

Pooling, projection and normalising are the library's modules with the model's own files; nothing of it is retyped.
Models with bge-m3's heads beside them give sparse weights and multi-vectors too, from the same pass.

Whether the weights of a loaded encoder are all from its files.

transformers fills tensors that the files lack with random numbers, and only logs it; sentence-transformers passes that
on. The vectors of such an encoder look like any others and mean nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel

from model_cache.catalog.catalog import Model
from qda_worker.errors import ModelFailed, ModelUnusable, TextTooLong
from qda_worker.models.base import (
    BatchBudget,
    Finished,
    InProcess,
    ModelInfo,
    Options,
    Prepared,
    Unit,
    VectorKind,
    describe,
    require_characters,
    usage_in_tokens,
)
from qda_worker.models.embedding_heads import Heads, load_heads, multi_vectors, sparse_weights
from qda_worker.models.pair_search import normalised
from qda_worker.models.tokenization import Ids, Tokens, pad, position_limit, token_limit, weighted_mean
from qda_worker.models.vectors import (
    MAX_MULTI_VECTOR_TOKENS,
    SparseWeights,
    TextVectors,
    VectorOptions,
    greatest_weights,
    joined_rows,
)

_NAMED: Final = 3
# The layer after the encoder that BERT was trained with: many models for sentences leave it out, and none
# uses it.
_UNUSED: Final = "pooler."


def require_all_weights(encoder: Any, folder: Path) -> None:
    """Raises ModelUnusable where the files of the sentence-transformers folder lack tensors of `encoder`.

    Reads them a second time, for the report alone: the files are mapped, so that takes a tenth of a second.
    """
    if not isinstance(encoder, PreTrainedModel):
        return
    load: Any = type(encoder).from_pretrained  # typed as if it always gave the model alone
    _, report = load(
        str(_encoder_folder(folder)),
        config=encoder.config,
        local_files_only=True,
        trust_remote_code=False,
        weights_only=True,
        output_loading_info=True,
    )
    missing = sorted(key for key in report["missing_keys"] if f".{_UNUSED}" not in f".{key}")
    if not missing:
        return
    some = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
    count = "1 tensor" if len(missing) == 1 else f"{len(missing)} tensors"
    raise ModelUnusable(
        f"its weights lack {count} of the encoder, which would be random numbers: {some}",
        "take config.json and the weights from one commit of the repository of a model for embeddings",
    )


def _encoder_folder(folder: Path) -> Path:
    """Where modules.json says that the encoder is: mostly the folder itself."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return folder / str(modules[0].get("path", ""))


@dataclass(frozen=True, slots=True, eq=False)
class VectorInput:
    """One window: its token ids, and which vectors are wanted of its text."""

    ids: Ids
    options: VectorOptions


@dataclass(frozen=True, slots=True, eq=False)
class WindowVectors:
    """What one pass gives for one window; what was not asked for is None.

    dense: float32 [dimension]. weights: float32 [tokens]. rows: float32 [tokens - 1, dimension].
    """

    dense: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None
    rows: NDArray[np.float32] | None = None


class EmbeddingModel(InProcess):
    """Vectors of texts in float32, exactly as long as the model's own modules leave them.

    A text of several windows has the mean of their dense vectors, weighted by each window's content tokens, and then
    normalised if and only if the model ends by normalising; the greatest sparse weights; and each token's vector once.
    """

    def __init__(
        self, info: ModelInfo, budget: BatchBudget, network: SentenceTransformer, tokens: Tokens, heads: Heads
    ) -> None:
        self._info, self._budget = info, budget
        self._network, self._tokens, self._heads = network, tokens, heads
        self._prompt = _default_prompt(network)
        self._normalises = type(network[-1]).__name__ == "Normalize"
        self._weightless = _weightless_ids(network.tokenizer)

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._info

    @property
    def budget(self) -> BatchBudget:
        """How large a batch suits it on its device."""
        return self._budget

    def prepare(self, text: str, options: Options) -> Prepared[VectorInput]:
        """Tokenises and cuts, the model's default prompt before the text where its files name one.

        Raises TextTooLong also for multi-vectors of more tokens than can be held at once.
        """
        require_characters(text)
        wanted = options if isinstance(options, VectorOptions) else VectorOptions(long_text=options.long_text)
        prepared = self._tokens.prepare(self._prompt + text, options.long_text)
        if VectorKind.MULTI_VECTOR in wanted.kinds and prepared.used_length > MAX_MULTI_VECTOR_TOKENS:
            raise TextTooLong(
                f"the text has {prepared.used_length} tokens, and multi-vectors are given for at most "
                f"{MAX_MULTI_VECTOR_TOKENS}",
                "split the text, or ask for the long-text policy CUT",
            )
        return Prepared(
            units=tuple(Unit(VectorInput(unit.payload, wanted), unit.length) for unit in prepared.units),
            windows=prepared.windows,
            length=prepared.length,
            used_length=prepared.used_length,
        )

    def compute(self, units: Sequence[Unit[VectorInput]]) -> list[WindowVectors]:
        """What was asked for of each unit; each head sees the tokens of those units alone that ask for it."""
        with torch.inference_mode():
            ids, mask = pad([unit.payload.ids for unit in units], self._tokens.pad_id, self._network.device)
            features: dict[str, Any] = self._network({"input_ids": ids, "attention_mask": mask})
            dense = features["sentence_embedding"].float().cpu().numpy()
            states = features["token_embeddings"]
            weights = self._of_tokens(VectorKind.SPARSE, units, states)
            rows = self._of_tokens(VectorKind.MULTI_VECTOR, units, states)
        return [
            WindowVectors(dense[number], weights.get(number), rows.get(number))
            for number in range(len(units))
        ]

    def finish(
        self, text: str, prepared: Prepared[VectorInput], outputs: Sequence[WindowVectors]
    ) -> Finished[TextVectors]:
        """The vectors of one text. Raises ModelFailed where the model gave numbers that are none."""
        wanted = prepared.units[0].payload.options
        vectors = TextVectors(
            dense=self._dense(prepared, outputs, wanted) if VectorKind.DENSE in wanted.kinds else None,
            sparse=self._sparse(prepared, outputs) if VectorKind.SPARSE in wanted.kinds else None,
            multi=self._multi(prepared, outputs) if VectorKind.MULTI_VECTOR in wanted.kinds else None,
        )
        return Finished(vectors, usage_in_tokens(prepared))

    def _of_tokens(
        self, kind: VectorKind, units: Sequence[Unit[VectorInput]], states: torch.Tensor
    ) -> dict[int, NDArray[np.float32]]:
        """What a head makes of the tokens of each unit that asks for its kind, by the unit's number."""
        head = self._heads.of(kind)
        asking = [number for number, unit in enumerate(units) if kind in unit.payload.options.kinds]
        if not asking or head is None:
            return {}
        first = 1 if kind is VectorKind.MULTI_VECTOR else 0
        hidden = [states[number, first : units[number].length] for number in asking]
        make = multi_vectors if kind is VectorKind.MULTI_VECTOR else sparse_weights
        made = make(head, torch.cat(hidden).float()).cpu()
        each = np.split(made.numpy(), np.cumsum([len(one) for one in hidden])[:-1])
        return dict(zip(asking, each, strict=True))

    def _dense(
        self, prepared: Prepared[VectorInput], outputs: Sequence[WindowVectors], wanted: VectorOptions
    ) -> NDArray[np.float32]:
        lengths = [window.length for window in prepared.windows]
        vector = weighted_mean([output.dense for output in outputs], lengths)
        shortened = vector[: wanted.dimension]
        changed = prepared.windowed or len(shortened) < len(vector)
        if wanted.normalise or (changed and self._normalises):
            shortened = normalised(shortened[np.newaxis])[0]
        return _finite(shortened)

    def _sparse(self, prepared: Prepared[VectorInput], outputs: Sequence[WindowVectors]) -> SparseWeights:
        ids = np.concatenate([unit.payload.ids for unit in prepared.units])
        weights = np.concatenate([output.weights for output in outputs if output.weights is not None])
        ids, weights = greatest_weights(ids, _finite(weights), self._weightless)
        return SparseWeights(ids, weights, self._tokens.spelled(ids.tolist()))

    def _multi(
        self, prepared: Prepared[VectorInput], outputs: Sequence[WindowVectors]
    ) -> NDArray[np.float32]:
        rows = [output.rows for output in outputs if output.rows is not None]
        return _finite(joined_rows(rows, prepared.windows, self._tokens.special_before))


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
    encoder: Any = network[0].auto_model
    require_all_weights(encoder, path)
    limit = token_limit(network.max_seq_length, position_limit(encoder), model.serving.max_tokens)
    tokens = Tokens(network.tokenizer, limit)
    heads = load_heads(path, encoder.config.hidden_size, network.device)
    if heads.multi is not None and tokens.special_before < 1:
        raise ModelUnusable(
            "its tokenizer puts no special token before a text, and multi-vectors leave the first token out",
            "take colbert_linear.pt out of `files` in the catalog, or use another model",
        )
    dimension = network.get_embedding_dimension()
    shortened = model.serving.shortened_dimensions
    if dimension is not None and any(wished >= dimension for wished in shortened):
        raise ModelUnusable(
            f"serving.shortened_dimensions names {max(shortened)}, and its vectors have {dimension} numbers",
            "correct serving.shortened_dimensions in the catalog",
        )
    info = describe(
        model,
        max_length=limit,
        dimension=dimension,
        shortened_dimensions=shortened,
        vector_kinds=heads.kinds,
        multi_dimension=None if heads.multi is None else heads.multi.out_features,
        longest_token=tokens.longest_token,
    )
    return EmbeddingModel(info, budget, network, tokens, heads)


def _weightless_ids(tokenizer: Any) -> frozenset[int]:
    """The special tokens that get no sparse weight: those that bge-m3's authors leave out."""
    named = (getattr(tokenizer, f"{name}_token_id", None) for name in ("cls", "eos", "pad", "unk"))
    return frozenset(number for number in named if number is not None)


def _finite(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(numbers).all():
        raise ModelFailed("the model's numbers for this text are not finite")
    return numbers


def _default_prompt(network: SentenceTransformer) -> str:
    """What `encode` puts before every text by itself; mostly nothing."""
    prompt = network.prompts.get(network.default_prompt_name or "", "") or ""
    if prompt and any(getattr(module, "include_prompt", True) is False for module in network):
        raise ModelUnusable(
            "its pooling leaves out its default prompt, which this worker cannot do",
            "use a model without a default prompt, or one whose pooling includes it",
        )
    return prompt
