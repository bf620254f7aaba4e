"""Reads a cache with nothing of the project's code, and says which generations are whole to the byte."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

PLACES: Final = {"huggingface": "huggingface/hub", "spacy": "spacy", "torch": "torch"}


def manifests(cache: Path) -> dict[str, Any]:
    """Every manifest by its generation; one that is cut fails the test that asks."""
    return {
        path.stem: json.loads(path.read_bytes()) for path in (cache / ".model-cache/manifests").glob("*.json")
    }


def faults_of(cache: Path, manifest: dict[str, Any]) -> list[str]:
    """What is wrong with the files that a manifest promises: missing, of another size, of other bytes."""
    wrong = []
    for model in manifest["models"]:
        for file in model["files"]:
            path = cache / PLACES[file["place"]] / file["path"]
            if not path.is_file():
                wrong.append(f"{path} is missing")
            elif not path.resolve().is_relative_to(cache.resolve()):
                wrong.append(f"{path} leads out of the cache")
            elif path.stat().st_size != file["bytes"]:
                wrong.append(f"{path} has {path.stat().st_size} bytes")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
                wrong.append(f"{path} has other bytes")
    return wrong


def whole_generations(cache: Path) -> frozenset[str]:
    """The generations whose manifest is there. Fails if one of them promises what is not there."""
    found = manifests(cache)
    broken = {name: wrong for name, manifest in found.items() if (wrong := faults_of(cache, manifest))}
    assert not broken, broken
    return frozenset(found)


def staged_bytes(cache: Path) -> int:
    """Bytes on disk that wait under names of their own for the rest of their file."""
    return sum(path.stat().st_blocks * 512 for path in cache.rglob("*.incomplete*") if path.is_file())
