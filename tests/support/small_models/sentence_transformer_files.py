"""The configuration files of a sentence-transformers repository, in the form of the two real ones."""

from pathlib import Path
from typing import Literal

from tests.support.small_models.training import write_json


def write_sentence_transformer_files(
    folder: Path, width: int, *, pooling: Literal["cls", "mean"], max_tokens: int, normalize: bool
) -> None:
    """Write modules.json, 1_Pooling and two configurations. `normalize` lists 2_Normalize, without its folder."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + [("2_Normalize", "Normalize")] * normalize
    write_json(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(modules)
        ],
    )
    write_json(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": width,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
    write_json(
        folder / "config_sentence_transformers.json",
        {"__version__": {"sentence_transformers": "2.2.2", "transformers": "4.33.0", "pytorch": "2.1.2"}},
    )
