"""The catalog of the small models and its lock: the default catalog's keys and files, pinned to the trained files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.fake_hub.repository import LfsRule, Repository, RepositoryFile, repository_from_folder

ORGANIZATION: Final = "qda-demo"
# No host has this name (RFC 6761): --wheel-base gives the location of the wheel.
WHEEL_ADDRESS: Final = "https://demo.invalid/wheels"

_TOKENIZER: Final = (
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
_SENTENCE_TRANSFORMER: Final = (
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    *_TOKENIZER,
)
_HUB_MODELS: Final[dict[str, dict[str, Any]]] = {
    "german-sentiment": {
        "task": "sentiment",
        "name": "german-sentiment-bert",
        "files": (
            "config.json",
            "model.safetensors",
            "special_tokens_map.json",
            "tokenizer_config.json",
            "vocab.txt",
        ),
        "serving": {"cleaning": "german-sentiment", "max_tokens": 512},
    },
    "multilingual-embedding": {
        "task": "embedding",
        "name": "multilingual-embedding",
        "files": (*_SENTENCE_TRANSFORMER, "pytorch_model.bin", "sparse_linear.pt", "colbert_linear.pt"),
        "serving": {"max_tokens": 8192},
    },
    "multilingual-paraphrase": {
        "task": "paraphrase",
        "name": "multilingual-paraphrase",
        "files": (*_SENTENCE_TRANSFORMER, "model.safetensors"),
        "serving": {"max_tokens": 128},
    },
}
_HEAD: Final = "# Made by tests/support/small_models, for the demo and the tests: no use for real texts.\n"


def write_catalog(root: Path) -> None:
    """Write repository.json into each repository of `root/hub`, and root/catalog.yaml with its lock."""
    models: list[dict[str, Any]] = []
    locked: dict[str, Any] = {}
    for key, model in _HUB_MODELS.items():
        folder = root / "hub" / "models" / ORGANIZATION / model["name"]
        repository = repository_from_folder(folder, f"{ORGANIZATION}/{model['name']}")
        description = {"commit": repository.commit, "branches": ["main"]}
        (folder / "repository.json").write_text(json.dumps(description, indent=2) + "\n", "utf-8")
        source = {
            "repository": repository.id,
            "revision": repository.commit,
            "files": sorted(model["files"]),
        }
        models.append(
            {
                "key": key,
                "licence": "MIT",
                "task": model["task"],
                "huggingface": source,
                "serving": model["serving"],
            }
        )
        locked[key] = _locked(repository, source["files"])
    (wheel,) = (root / "hub" / "wheels").glob("*.whl")
    entities, locked["german-ner"] = _wheel(wheel)
    models.insert(1, entities)
    catalog = {"apiVersion": "qda/v1", "kind": "Catalog", "models": models}
    lock = {"apiVersion": "qda/v1", "kind": "CatalogLock", "models": locked}
    text = _HEAD + yaml.safe_dump(catalog, sort_keys=False, allow_unicode=True)
    (root / "catalog.yaml").write_text(text, "utf-8")
    (root / "catalog.lock.json").write_text(json.dumps(lock, indent=2) + "\n", "utf-8")


def _locked(repository: Repository, files: Sequence[str]) -> dict[str, Any]:
    return {
        "source": repository.id,
        "revision": repository.commit,
        "whole_repository_bytes": sum(file.size for file in repository.files.values()),
        "files": {path: _facts(repository.files[path]) for path in files},
    }


def _facts(file: RepositoryFile) -> dict[str, Any]:
    # The git sha1 of a file under LFS is that of its pointer, which is never downloaded.
    return {"bytes": file.size, "sha256": file.sha256, "git_sha1": None if file.is_lfs else file.git_sha1}


def _wheel(wheel: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    package, version, *_ = wheel.name.split("-")
    file = RepositoryFile(wheel.name, wheel, LfsRule())
    source = {
        "package": package,
        "version": version,
        "url": f"{WHEEL_ADDRESS}/{wheel.name}",
        "sha256": file.sha256,
    }
    model = {"key": "german-ner", "licence": "MIT", "task": "entities", "spacy": source}
    facts = {"bytes": file.size, "sha256": file.sha256, "git_sha1": None}
    locked = {"source": package, "revision": version, "whole_repository_bytes": file.size}
    return model, {**locked, "files": {wheel.name: facts}}
