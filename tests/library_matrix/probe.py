"""Load models as a project does, in the environment of one library: run by `python probe.py LIBRARY REPOSITORY`.

Prints a line of JSON: the versions, and `ok` or what failed. Imports nothing of this project.
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def load(library: str, name: str) -> Any:
    """Load a model, or find its files; raise whatever the library raises."""
    if library == "huggingface_hub":
        from huggingface_hub import hf_hub_download, snapshot_download

        hf_hub_download(name, "config.json")
        return snapshot_download(name, local_files_only=True)
    if library == "transformers":
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForSequenceClassification.from_pretrained(name)
        return model(**tokenizer("Das war sehr gut.", return_tensors="pt")).logits
    if library == "sentence-transformers":
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(name).encode(["Ein Satz."])
    import spacy

    return spacy.load(name)("Anna wohnt in Berlin.")


def installed(name: str) -> str:
    """Return the version of a package; empty if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def main() -> None:
    library, name = sys.argv[1:]
    names = ("huggingface_hub", "transformers", "tokenizers", "sentence-transformers", "spacy", "torch")
    result: dict[str, Any] = {"versions": {each: found for each in names if (found := installed(each))}}
    try:
        load(library, name)
    except Exception as error:  # noqa: BLE001  # whatever it is, is the result
        lines = str(error).strip().splitlines() or [""]
        result["result"] = f"{type(error).__name__}: {lines[0][:150]}"
    else:
        result["result"] = "ok"
    print(json.dumps(result))


if __name__ == "__main__":
    main()
