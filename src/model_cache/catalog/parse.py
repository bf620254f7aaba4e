"""Read a catalog from YAML, and report all of its mistakes at once, each with line, key and remedy.

The text becomes nodes (`yaml_text`), and each node of `models` becomes a `Model` (`model_entry`). This module reads the
file, and checks what concerns the document as a whole: its head, duplicate keys, two defaults of one task.

The built-in catalog is read without YAML: its nodes lie beside it, compiled to JSON, with the hash of the text that
they were compiled from. If the hash does not match, they are ignored and the YAML is parsed. After a change of
`default.yaml`, compile them with

    python -m model_cache.catalog.parse
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import Catalog, Model, Task
from model_cache.catalog.fields import (
    CatalogSyntaxError,
    MappingNode,
    Node,
    ProblemCollector,
    Section,
    node_from_json,
    node_from_value,
    node_to_json,
)
from model_cache.catalog.model_entry import parse_model
from model_cache.cli.parser import closest_match
from model_cache.errors import CatalogInvalid, CatalogProblem

API_VERSION: Final = "qda/v1"
BUILT_IN_CATALOG: Final = Path(__file__).parents[1] / "data" / "default.yaml"
BUILT_IN_ORIGIN: Final = "built-in catalog"
# Far above any catalog; below a file of weights that is given by mistake.
MAX_BYTES: Final = 16 * 2**20

# Of a catalog. Each costs memory, and a request to its source.
MAX_MODELS: Final = 10_000

_COMPILED_CATALOG: Final = BUILT_IN_CATALOG.with_name("default.nodes.json")


def load_catalog(path: Path | None) -> Catalog:
    """Read a catalog file; None: the built-in one.

    Raises:
        CatalogInvalid: the file cannot be read, or has mistakes.
    """
    text, origin = read_catalog_text(path), _origin(path)
    if path is None and (nodes := load_compiled_nodes(text)) is not None:
        return _catalog(nodes, origin, ProblemCollector(origin))
    return parse_catalog(text, origin)


def read_catalog_text(path: Path | None) -> str:
    """Return the text of a catalog file; None: of the built-in one.

    Raises:
        CatalogInvalid: the file cannot be read, is larger than `MAX_BYTES`, or is not UTF-8.
    """
    file, origin = path or BUILT_IN_CATALOG, _origin(path)
    try:
        # Not read_small_file: the user chose this file, and it may be a pipe, as with `--catalog /dev/stdin`.
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _unreadable(origin, 0, f"more than {MAX_BYTES} bytes", "the YAML file of a catalog")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found = f"bytes that are not UTF-8 ({error.reason})"
        raise _unreadable(origin, line, found, "UTF-8 text") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        found = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        allowed = "a file that this user can read (--catalog FILE; without it the built-in catalog is used)"
        raise _unreadable(origin, 0, found, allowed) from error


def parse_catalog(text: str, origin: str) -> Catalog:
    """Parse a catalog's text.

    Args:
        text: YAML.
        origin: the file's name in messages.

    Raises:
        CatalogInvalid: the text has mistakes; the error holds all of them.
    """
    from model_cache.catalog.yaml_text import YamlReader  # here: PyYAML is slow to import

    collector = ProblemCollector(origin)

    def on_duplicate(line: int, key: str, first_line: int) -> None:
        collector.add(line, key, f"the key a second time (first in line {first_line})", "each key once")

    try:
        node = YamlReader(text, on_duplicate).document()
    except CatalogSyntaxError as error:
        collector.add(error.line, "", error.found, error.allowed)
        raise CatalogInvalid(collector.problems) from error
    return _catalog(node, origin, collector)


def parse_catalog_value(value: object, origin: str) -> Catalog:
    """Parse a catalog that is a value of a JSON document, as in an archive.

    It costs a tenth of the memory that the same text takes as YAML.

    Args:
        value: the value of the document.
        origin: the file's name in messages.

    Raises:
        CatalogInvalid: the value has mistakes; the error holds all of them.
    """
    collector = ProblemCollector(origin)
    try:
        node = node_from_value(value)
    except CatalogSyntaxError as error:
        collector.add(error.line, "", error.found, error.allowed)
        raise CatalogInvalid(collector.problems) from error
    return _catalog(node, origin, collector)


def load_compiled_nodes(text: str, compiled: Path = _COMPILED_CATALOG) -> Node | None:
    """Return the compiled nodes of the built-in catalog.

    Args:
        text: the catalog's text, whose hash must be that of the compiled nodes.
        compiled: their file.

    Returns:
        The nodes; None if there are none of this text.
    """
    try:
        document = json.loads(compiled.read_bytes())
        return node_from_json(document["nodes"]) if document["sha256"] == _sha256(text) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def dump_compiled_nodes(text: str, node: Node) -> bytes:
    """Return the content that `load_compiled_nodes` reads."""
    document = {"sha256": _sha256(text), "nodes": node_to_json(node)}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def compile_built_in_catalog() -> None:
    """Write the compiled nodes of the built-in catalog beside it."""
    from model_cache.catalog.yaml_text import YamlReader

    text = read_catalog_text(None)
    node = YamlReader(text, lambda *_: None).document()
    if node is None:
        sys.exit("the built-in catalog is empty")
    _COMPILED_CATALOG.write_bytes(dump_compiled_nodes(text, node))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _origin(path: Path | None) -> str:
    return str(path) if path is not None else BUILT_IN_ORIGIN


def _unreadable(origin: str, line: int, found: str, allowed: str) -> CatalogInvalid:
    return CatalogInvalid([CatalogProblem(origin, line, "", found, allowed)])


def _catalog(node: Node | None, origin: str, collector: ProblemCollector) -> Catalog:
    models = _models(node, collector)
    if collector.problems:
        raise CatalogInvalid(sorted(collector.problems, key=lambda problem: problem.line))
    return Catalog(models, origin)


def _models(node: Node | None, collector: ProblemCollector) -> tuple[Model, ...]:
    if not isinstance(node, MappingNode):
        found = "an empty file" if node is None else str(node)
        collector.add(1, "", found, "a mapping with apiVersion, kind and models")
        return ()
    root = Section(node, "", collector)
    root.reject_unknown(("apiVersion", "kind", "models"))
    for name, expected in (("apiVersion", API_VERSION), ("kind", "Catalog")):
        text = root.text(name, expected)
        if text is not None and text != expected:
            root.add_problem(name, f'"{text[:80]}"', expected, closest_match(text, [expected]))
    models: list[tuple[Model, Section]] = []
    key_lines: dict[str, int] = {}
    items = root.items("models", "a list of at least one model")
    if len(items) > MAX_MODELS:
        root.add_problem("models", f"{len(items)} models", f"at most {MAX_MODELS}")
        return ()
    for index, item in enumerate(items):
        path = f"models[{index}]"
        if not isinstance(item, MappingNode):
            collector.add(item.line, path, str(item), "a mapping with key, task and a source")
            continue
        section = Section(item, path, collector)
        model = parse_model(section)
        if model is None:
            continue
        if model.key in key_lines:
            found = f'"{model.key}" a second time (first in line {key_lines[model.key]})'
            section.add_problem("key", found, "each key once")
        key_lines.setdefault(model.key, section.line_of("key"))
        models.append((model, section))
    _check_defaults(models)
    return tuple(model for model, _ in models)


def _check_defaults(models: Iterable[tuple[Model, Section]]) -> None:
    """Add a problem for each model that is the second default of its task."""
    first: dict[Task, str] = {}
    for model, section in models:
        if not model.serving.default:
            continue
        if model.task in first:
            serving = section.subsection("serving", "") or section
            found = f'a second default for {model.task} (the first is "{first[model.task]}")'
            serving.add_problem("default", found, "one default per task")
        first.setdefault(model.task, model.key)


if __name__ == "__main__":
    compile_built_in_catalog()
