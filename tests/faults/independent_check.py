"""Checks a cache without code of the project: which generations are complete, byte by byte."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

PLACES: Final = {"huggingface": "huggingface/hub", "spacy": "spacy", "torch": "torch"}


def manifests(cache: Path) -> dict[str, Any]:
    """Return every manifest by its generation. Fails on one that was cut short."""
    return {
        path.stem: json.loads(path.read_bytes()) for path in (cache / ".model-cache/manifests").glob("*.json")
    }


def wrong_files(cache: Path, manifest: dict[str, Any]) -> list[str]:
    """Return what is wrong with the files that a manifest lists: missing, of another size or content."""
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
    """Return the published generations. Fails if one of them is not complete."""
    found = manifests(cache)
    broken = {name: wrong for name, manifest in found.items() if (wrong := wrong_files(cache, manifest))}
    assert not broken, broken
    return frozenset(found)


def staged_bytes(cache: Path) -> int:
    """Return the size of all partial files on disk, in bytes."""
    return sum(path.stat().st_blocks * 512 for path in cache.rglob("*.incomplete*") if path.is_file())
