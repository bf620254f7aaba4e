"""The built-in catalog's nodes, read once and kept as JSON beside it: PyYAML takes a fifth of a check's time to import.

``python -m model_cache.catalogs.compiled`` writes it anew after a change of ``default.yaml``; a test says when that was
forgotten. Until then nothing is wrong: what is not of the same text is not used.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from model_cache.catalogs.nodes import Fields, Items, Node, Scalar

_KEPT = Path(__file__).parents[1] / "data" / "default.nodes.json"


def kept_nodes(text: str, kept: Path = _KEPT) -> Node | None:
    """Return the nodes of the built-in catalog; None if they were kept of another text, or not at all."""
    try:
        document = json.loads(kept.read_bytes())
        return _node(document["nodes"]) if document["sha256"] == _sha256(text) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def dump_nodes(text: str, node: Node) -> bytes:
    """Return what ``kept_nodes`` reads."""
    document = {"sha256": _sha256(text), "nodes": _plain(node)}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(node: Node) -> list[object]:
    if isinstance(node, Scalar):
        return list(node)
    if isinstance(node, Items):
        return [node.line, [_plain(item) for item in node.items]]
    return [node.line, {name: [line, _plain(value)] for name, (line, value) in node.fields.items()}]


def _node(plain: Any) -> Node:  # JSON has no types
    if len(plain) == 3:
        return Scalar(*plain)
    line, inner = plain
    if isinstance(inner, list):
        return Items(line, tuple(_node(item) for item in inner))
    return Fields(line, {name: (at, _node(value)) for name, (at, value) in inner.items()})


def main() -> None:
    """Keep the nodes of the built-in catalog as it is now."""
    from model_cache.catalogs.catalog_file import read_catalog_text
    from model_cache.catalogs.yaml_text import Reading

    text = read_catalog_text(None)
    node = Reading(text, lambda *_: None).document()
    if node is None:
        sys.exit("the built-in catalog is empty")
    _KEPT.write_bytes(dump_nodes(text, node))


if __name__ == "__main__":
    main()
