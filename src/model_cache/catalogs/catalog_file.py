"""Reads a catalog from YAML. All mistakes are told at once, each with its line, key and remedy."""

import re
from pathlib import Path

from model_cache.catalogs.catalog import Catalog, HuggingFaceSource, Model, SpacySource, Task
from model_cache.catalogs.compiled import kept_nodes
from model_cache.catalogs.fields import Mistakes, Section
from model_cache.catalogs.nodes import Fields, Node, Unreadable
from model_cache.catalogs.serving import read_serving
from model_cache.catalogs.sources import read_huggingface, read_spacy
from model_cache.errors import CatalogInvalid, CatalogProblem
from model_cache.programs.suggestion import nearest

API_VERSION = "qda/v1"
BUILT_IN_CATALOG = Path(__file__).parents[1] / "data" / "default.yaml"
BUILT_IN_ORIGIN = "built-in catalog"
MAX_BYTES = 16 * 2**20
"""No catalog is larger; a device or a model's weights given by mistake would be."""

_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_KEY_ALLOWED = "1 to 63 of a-z 0-9 - . _, with a letter or digit first and last"
_MODEL_FIELDS = ("key", "task", "huggingface", "spacy", "serving", "licence")


def load_catalog(path: Path | None) -> Catalog:
    """Read a catalog file; None: the one inside the package. Raises ``CatalogInvalid``."""
    text, origin = read_catalog_text(path), _origin(path)
    if path is None and (kept := kept_nodes(text)) is not None:
        return _catalog(kept, origin, Mistakes(origin))
    return parse_catalog(text, origin)


def read_catalog_text(path: Path | None) -> str:
    """Return the text of a catalog file; None: of the one inside the package. Raises ``CatalogInvalid``."""
    file, origin = path or BUILT_IN_CATALOG, _origin(path)
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _cannot_read(origin, 0, f"more than {MAX_BYTES} bytes", "the YAML file of a catalog")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _cannot_read(
            origin, line, f"bytes that are not UTF-8 ({error.reason})", "UTF-8 text"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        found = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        allowed = "a file that this user can read (--catalog FILE; without it the built-in catalog is used)"
        raise _cannot_read(origin, 0, found, allowed) from error


def _origin(path: Path | None) -> str:
    return str(path) if path is not None else BUILT_IN_ORIGIN


def parse_catalog(text: str, origin: str) -> Catalog:
    """Read a catalog's text; ``origin`` names it in messages. Raises ``CatalogInvalid`` with all mistakes."""
    from model_cache.catalogs.yaml_text import (
        Reading,  # here: the built-in catalog does without it, and it is slow
    )

    mistakes = Mistakes(origin)

    def duplicate(line: int, key: str, first: int) -> None:
        mistakes.add(line, key, f"the key a second time (first in line {first})", "each key once")

    try:
        node = Reading(text, duplicate).document()
    except Unreadable as error:
        mistakes.add(error.line, "", error.found, error.allowed)
        raise CatalogInvalid(mistakes.found) from error
    return _catalog(node, origin, mistakes)


def _catalog(node: Node | None, origin: str, mistakes: Mistakes) -> Catalog:
    models = _document(node, mistakes)
    if mistakes.found:
        raise CatalogInvalid(sorted(mistakes.found, key=lambda problem: problem.line))
    return Catalog(models, origin)


def _cannot_read(origin: str, line: int, found: str, allowed: str) -> CatalogInvalid:
    return CatalogInvalid([CatalogProblem(origin, line, "", found, allowed)])


def _document(node: Node | None, mistakes: Mistakes) -> tuple[Model, ...]:
    if not isinstance(node, Fields):
        found = "an empty file" if node is None else str(node)
        mistakes.add(1, "", found, "a mapping with apiVersion, kind and models")
        return ()
    root = Section(node, "", mistakes)
    root.allow(("apiVersion", "kind", "models"))
    for name, expected in (("apiVersion", API_VERSION), ("kind", "Catalog")):
        text = root.text(name, expected)
        if text is not None and text != expected:
            root.wrong(name, f'"{text[:80]}"', expected, nearest(text, [expected]))
    models = []
    lines: dict[str, int] = {}
    for index, item in enumerate(root.items("models", "a list of at least one model")):
        if not isinstance(item, Fields):
            mistakes.add(item.line, f"models[{index}]", str(item), "a mapping with key, task and a source")
            continue
        section = Section(item, f"models[{index}]", mistakes)
        model = _model(section)
        if model is None:
            continue
        if model.key in lines:
            section.wrong(
                "key", f'"{model.key}" a second time (first in line {lines[model.key]})', "each key once"
            )
        lines.setdefault(model.key, section.line("key"))
        models.append((model, section))
    _one_default_a_task(models)
    return tuple(model for model, _ in models)


def _one_default_a_task(models: list[tuple[Model, Section]]) -> None:
    first: dict[Task, str] = {}
    for model, section in models:
        if not model.serving.default:
            continue
        if model.task in first:
            serving = section.section("serving", "")
            found = f'a second default for {model.task} (the first is "{first[model.task]}")'
            (serving or section).wrong("default", found, "one default a task")
        first.setdefault(model.task, model.key)


def _model(section: Section) -> Model | None:
    section.allow(_MODEL_FIELDS)
    key = section.text("key", _KEY_ALLOWED)
    if key is not None and not _KEY.fullmatch(key):
        section.wrong("key", f'"{ascii(key[:100])[1:-1]}"', _KEY_ALLOWED)
    task_name = section.text("task", " | ".join(Task))
    task = Task(task_name) if task_name in list(Task) else None
    if task_name is not None and task is None:
        section.wrong("task", f'"{task_name[:80]}"', " | ".join(Task), nearest(task_name, list(Task)))
    licence = section.text("licence", "an SPDX name, as MIT") if section.has("licence") else None
    source = _source(section, task)
    serving = read_serving(section, task)
    if key is None or task is None or source is None:
        return None
    return Model(key, task, source, serving, licence)


def _source(section: Section, task: Task | None) -> HuggingFaceSource | SpacySource | None:
    named = [name for name in ("huggingface", "spacy") if section.has(name)]
    if len(named) != 1:
        found = "both huggingface and spacy" if named else "neither huggingface nor spacy"
        section.mistakes.add(section.fields.line, section.key, found, "one source: huggingface or spacy")
    source: HuggingFaceSource | SpacySource | None = None
    below = section.section("huggingface", "a mapping of repository, revision and files")
    if below is not None:
        source = read_huggingface(below)
    below = section.section("spacy", "a mapping of package, version, url and sha256")
    if below is not None:
        source = read_spacy(below)
    if len(named) == 1 and task is not None and (named == ["spacy"]) != (task is Task.ENTITIES):
        allowed = "spacy for entities" if task is Task.ENTITIES else f"huggingface for {task}"
        section.wrong(named[0], f"a {named[0]} source for the task {task}", allowed)
    return source
