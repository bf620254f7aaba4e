"""Whether the weights of a loaded encoder are all from its files.

transformers fills tensors that the files lack with random numbers, and only logs it; sentence-transformers passes that
on. The vectors of such an encoder look like any others and mean nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from transformers import PreTrainedModel

from qda_worker.errors import ModelUnusable

_NAMED: Final = 3
_UNUSED: Final = "pooler."
"""The layer after the encoder that BERT was trained with: many models for sentences leave it out, and none uses it."""


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
