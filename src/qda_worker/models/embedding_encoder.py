"""The encoder of an embedding model, as sentence-transformers has loaded it: what it lacks, and what is not needed.

transformers fills tensors that the files lack with random numbers, and only logs it. So its report is read again.

BERT and its family have a layer behind the encoder, the pooler, for the pre-training. sentence-transformers reads the
states before it, unless the model's configuration names its output. Then it stays.
"""

import json
from pathlib import Path
from typing import Any, Final

from sentence_transformers import SentenceTransformer
from transformers import PreTrainedModel

from qda_worker.errors import ModelUnusable

# Maximum number of missing tensors named in an error message.
_MAX_NAMED_TENSORS: Final = 3
# Prefix of the pooler's tensors. Many sentence models leave them out.
_UNUSED_LAYER: Final = "pooler."
# Model types of transformers that compute without a pooler.
_WITHOUT_POOLER: Final = frozenset({"bert", "camembert", "mpnet", "roberta", "xlm-roberta"})


def require_encoder_weights(encoder: Any, folder: Path) -> None:
    """Refuse a model whose files lack tensors of its encoder.

    The weights are read a second time, only for the report. The files are mapped, so this takes a tenth of a second.

    Args:
        encoder: the loaded encoder; one that is not a transformers model is not checked.
        folder: the sentence-transformers folder.

    Raises:
        ModelUnusable: when tensors are missing.
    """
    if not isinstance(encoder, PreTrainedModel):
        return
    load: Any = type(encoder).from_pretrained  # typed as if it always returned the model alone
    _, report = load(
        str(_encoder_folder(folder)),
        config=encoder.config,
        local_files_only=True,
        trust_remote_code=False,
        weights_only=True,
        output_loading_info=True,
    )
    missing = sorted(key for key in report["missing_keys"] if f".{_UNUSED_LAYER}" not in f".{key}")
    if not missing:
        return
    names = ", ".join(missing[:_MAX_NAMED_TENSORS]) + (", …" if len(missing) > _MAX_NAMED_TENSORS else "")
    count = "1 tensor" if len(missing) == 1 else f"{len(missing)} tensors"
    raise ModelUnusable(
        f"its weights lack {count} of the encoder, which would be random numbers: {names}",
        "take config.json and the weights from one commit of the repository of an embedding model",
    )


def leave_out_pooler(network: SentenceTransformer) -> None:
    """Remove the pooler if nothing reads its output. It takes 0.5 of 32 ms of a short text (XLM-R base, two cores)."""
    first: Any = network[0]
    outputs = {str(one["method_output_name"]) for one in first.modality_config.values()}
    encoder = first.auto_model
    if outputs == {"last_hidden_state"} and encoder.config.model_type in _WITHOUT_POOLER:
        encoder.pooler = None


def _encoder_folder(folder: Path) -> Path:
    """Return the folder of the encoder by modules.json; usually `folder` itself."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return folder / str(modules[0].get("path", ""))
