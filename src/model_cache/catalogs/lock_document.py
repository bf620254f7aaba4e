"""Writes a lock: JSON in the order of the catalog, a line a file and an answer, so that changes read well in git.

What others keep in a model's entry (such as the answers that ``cache-check --load`` compares) stays as long as
the entry is of the same revision.
"""

import json
import re
from collections.abc import Mapping, Sequence

from model_cache.catalogs.lock import API_VERSION, LockedFile, LockedModel

_OWN = (
    "source",
    "revision",
    "resolved_from",
    "whole_repository_bytes",
    "whole_repository_bytes_about",
    "files",
)


def lock_document(
    keys: Sequence[str], locked: Mapping[str, LockedModel], former: Mapping[str, object] | None
) -> dict[str, object]:
    """Return the lock of a catalog as a JSON document.

    Args:
        keys: of the whole catalog, in its order.
        locked: the models whose facts are new; the others keep what ``former`` says of them.
        former: the document that stood there, if one did.
    """
    before = former.get("models") if former is not None else None
    entries = before if isinstance(before, dict) else {}
    models = {
        key: _entry(locked[key], entries.get(key)) if key in locked else entries[key]
        for key in keys
        if key in locked or key in entries
    }
    return {**(former or {}), "apiVersion": API_VERSION, "kind": "CatalogLock", "models": models}


def dump_lock(document: Mapping[str, object]) -> bytes:
    """Return the document as UTF-8 JSON, each file of a model on a line of its own."""
    lines: list[str] = []

    def with_marks(value: object, path: tuple[str, ...]) -> object:
        if isinstance(value, list) and len(path) == 3 and path[2] == "answers":
            return [with_marks(one, (*path, "")) for one in value]
        if not isinstance(value, dict):
            return value
        if len(path) == 4 and path[0] == "models" and path[2] in ("files", "answers"):
            lines.append(json.dumps(value, ensure_ascii=False))
            return f"\0{len(lines) - 1}\0"
        return {name: with_marks(inner, (*path, name)) for name, inner in value.items()}

    text = json.dumps(with_marks(dict(document), ()), indent=2, ensure_ascii=False)
    text = re.sub(r'"\\u0000(\d+)\\u0000"', lambda match: lines[int(match[1])], text)
    return text.encode() + b"\n"


def _entry(model: LockedModel, former: object) -> dict[str, object]:
    own: dict[str, object] = {"source": model.source, "revision": model.revision}
    if model.resolved_from is not None:
        own["resolved_from"] = model.resolved_from
    own["whole_repository_bytes"] = model.whole_repository_bytes
    if model.whole_repository_bytes_about is not None:
        own["whole_repository_bytes_about"] = model.whole_repository_bytes_about
    own["files"] = {path: _facts(file) for path, file in sorted(model.files.items())}
    return own | _others(model, former)


def _others(model: LockedModel, former: object) -> dict[str, object]:
    if not isinstance(former, dict) or (former.get("source"), former.get("revision")) != (
        model.source,
        model.revision,
    ):
        return {}
    return {name: value for name, value in former.items() if name not in _OWN}


def _facts(file: LockedFile) -> dict[str, object]:
    return {"bytes": file.bytes, "sha256": file.sha256, "git_sha1": file.git_sha1}
