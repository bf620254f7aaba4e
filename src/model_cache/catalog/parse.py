"""Reads a catalog from YAML. All mistakes are told at once, each with its line, key and remedy.

Reads where a model comes from, and refuses what would not pin it or would leave the cache.

Reads how a model is served, and refuses what would have no effect on it.

The built-in catalog's nodes, read once and kept as JSON beside it: PyYAML takes a fifth of a check's time to
import.

`python -m model_cache.catalog.parse` writes it anew after a change of `default.yaml`; a test says when that was
forgotten. Until then nothing is wrong: what is not of the same text is not used.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from model_cache.catalog.catalog import (
    Catalog,
    Cleaning,
    HuggingFaceSource,
    Model,
    Precision,
    Serving,
    SpacySource,
    Task,
)
from model_cache.catalog.fields import Fields, Items, Mistakes, Node, Scalar, Section, Unreadable
from model_cache.cli.parser import nearest
from model_cache.errors import CatalogInvalid, CatalogProblem
from model_cache.safe_names import why_unsafe

_REPOSITORY_ALLOWED: Final = (
    "ORG/NAME or NAME, each of letters, digits, - _ . (at most 96, no -- or .., "
    "- or . neither first nor last)"
)
_COMMIT_ALLOWED: Final = (
    "a commit, 40 lower-case hex digits (`cache-warmer lock` turns a branch or tag into one)"
)
_FILES_ALLOWED: Final = "a list of file names or patterns, as [config.json, model.safetensors]"
_SHA256_ALLOWED: Final = (
    "the wheel's sha256, 64 lower-case hex digits (`cache-warmer lock` fills in one that is missing)"
)
_PACKAGE_ALLOWED: Final = "a package's import name of letters, digits and _, as de_core_news_lg"
_VERSION_ALLOWED: Final = "the version in the wheel's name, as 3.8.0"
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_PACKAGE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_VERSION: Final = re.compile(r"[0-9][A-Za-z0-9.+]{0,63}")


def read_huggingface(section: Section) -> HuggingFaceSource | None:
    """Return the source, or None if something of it is wrong (which is noted)."""
    section.allow(("repository", "revision", "files"))
    repository = section.text("repository", _REPOSITORY_ALLOWED)
    if repository is not None and not _is_repository(repository):
        section.wrong("repository", f'"{repository[:200]}"', _REPOSITORY_ALLOWED)
    revision = _hex(section, "revision", 40, _COMMIT_ALLOWED)
    files = _files(section.key, section.items("files", _FILES_ALLOWED), section)
    if repository is None or revision is None:
        return None
    return HuggingFaceSource(repository, revision, files)


def read_spacy(section: Section) -> SpacySource | None:
    """Return the source, or None if something of it is wrong (which is noted)."""
    section.allow(("package", "version", "url", "sha256"))
    package = section.text("package", _PACKAGE_ALLOWED)
    if package is not None and not _PACKAGE.fullmatch(package):
        section.wrong("package", f'"{package[:200]}"', _PACKAGE_ALLOWED)
    version = section.text("version", _VERSION_ALLOWED)
    if version is not None and not _VERSION.fullmatch(version):
        section.wrong("version", f'"{version[:200]}"', _VERSION_ALLOWED)
    url = section.text("url", "the http or https address of the wheel")
    sha256 = _hex(section, "sha256", 64, _SHA256_ALLOWED)
    if url is not None:
        _judge_url(section, url, package, version)
    if package is None or version is None or url is None or sha256 is None:
        return None
    return SpacySource(package, version, url, sha256)


def _is_repository(name: str) -> bool:
    parts = name.split("/")
    if len(parts) > 2 or "--" in name or ".." in name or name.endswith(".git"):
        return False
    return all(_NAME.fullmatch(part) for part in parts)


def _hex(section: Section, name: str, length: int, allowed: str) -> str | None:
    text = section.text(name, allowed, digits=True)
    if text is None or re.fullmatch(rf"[0-9a-f]{{{length}}}", text):
        return text
    lowered = text.strip().casefold()
    fits = re.fullmatch(rf"[0-9a-f]{{{length}}}", lowered)
    if re.fullmatch(r"[0-9a-fA-F]{7,}", text) and not fits:
        section.wrong(name, f'"{text[:80]}" ({len(text)} hex digits)', allowed)
    else:
        kind = " (a branch or tag)" if name == "revision" and not fits else ""
        section.wrong(name, f'"{text[:80]}"{kind}', allowed, lowered if fits else "")
    return None


def _files(key: str, nodes: Iterable[Node], section: Section) -> tuple[str, ...]:
    files: list[str] = []
    for index, node in enumerate(nodes):
        path = f"{key}.files[{index}]"
        if not isinstance(node, Scalar) or node.kind != "text":
            section.mistakes.add(node.line, path, str(node), "a file name or pattern, as text")
            continue
        unsafe = why_unsafe(node.text)
        if unsafe:
            allowed = "a relative path with / between its parts, inside the repository"
            section.mistakes.add(node.line, path, f"{node}, which {unsafe}", allowed)
        files.append(node.text)
    return tuple(files)


def _judge_url(section: Section, url: str, package: str | None, version: str | None) -> None:
    try:
        parts = urlsplit(url)
        host, secret = parts.hostname, parts.password or parts.username
        _ = parts.port  # raises if it is no number
    except ValueError as error:
        section.wrong("url", f"an address that cannot be read ({error})", "https://HOST/PATH/NAME.whl")
        return
    if secret:
        section.wrong("url", "an address with a user or password in it", "an address without secrets")
        return
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        section.wrong("url", f'"{ascii(url[:200])[1:-1]}"', "an address as https://HOST/PATH/NAME.whl")
        return
    name = unquote(parts.path.rpartition("/")[2])
    if package is not None and version is not None:
        shape = rf"{re.escape(package)}-{re.escape(version)}-[^-]+-[^-]+-[^-]+\.whl"
        if why_unsafe(name) or "/" in name or not re.fullmatch(shape, name):
            allowed = f"a wheel of that package and version, named {package}-{version}-py3-none-any.whl"
            section.wrong("url", f'the file name "{ascii(name[:200])[1:-1]}"', allowed)


LABELS: Final = ("positive", "negative", "neutral")
_SERVING_FIELDS: Final = ("cleaning", "labels", "max_tokens", "shortened_dimensions", "precision", "default")


def read_serving(section: Section, task: Task | None) -> Serving:
    """Return the `serving` of a model's section; `task` None: not known, so nothing is compared with it."""
    below = section.section("serving", f"a mapping of {', '.join(_SERVING_FIELDS)}")
    if below is None:
        return Serving()
    below.allow(_SERVING_FIELDS)
    serving = Serving(
        cleaning=below.word("cleaning", Cleaning, Cleaning.NONE),
        labels=_labels(below),
        max_tokens=below.positive("max_tokens"),
        precision=below.word("precision", Precision, Precision.FP32),
        default=below.flag("default"),
        shortened_dimensions=below.positives("shortened_dimensions"),
    )
    if task not in (Task.SENTIMENT, None):
        if below.has("labels"):
            below.wrong("labels", f"labels for the task {task}", "labels for sentiment only")
        if serving.cleaning is not Cleaning.NONE:
            below.wrong("cleaning", f"a cleaning for the task {task}", "none, or a cleaning for sentiment")
    if serving.shortened_dimensions and task not in (Task.EMBEDDING, Task.PARAPHRASE, None):
        below.wrong("shortened_dimensions", f"shortened vectors for the task {task}", "them for vectors only")
    if task is Task.ENTITIES and serving.precision is not Precision.FP32:
        below.wrong("precision", f"{serving.precision} for a spaCy package", "fp32")
    return serving


def _labels(serving: Section) -> dict[str, str]:
    allowed = "a mapping of the model's own labels to positive, negative or neutral"
    section = serving.section("labels", allowed)
    labels: dict[str, str] = {}
    if section is None:
        return labels
    for own, (_, node) in section.fields.fields.items():
        if isinstance(node, Scalar) and node.kind == "text" and node.text in LABELS:
            labels[own] = node.text
        else:
            guess = nearest(node.text, LABELS) if isinstance(node, Scalar) else ""
            section.wrong(own, node, " | ".join(LABELS), guess)
    return labels


_KEPT: Final = Path(__file__).parents[1] / "data" / "default.nodes.json"


def kept_nodes(text: str, kept: Path = _KEPT) -> Node | None:
    """Return the nodes of the built-in catalog; None if they were kept of another text, or not at all."""
    try:
        document = json.loads(kept.read_bytes())
        return _node(document["nodes"]) if document["sha256"] == _sha256(text) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def dump_nodes(text: str, node: Node) -> bytes:
    """Return what `kept_nodes` reads."""
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
    from model_cache.catalog.parse import read_catalog_text
    from model_cache.catalog.yaml_text import Reading

    text = read_catalog_text(None)
    node = Reading(text, lambda *_: None).document()
    if node is None:
        sys.exit("the built-in catalog is empty")
    _KEPT.write_bytes(dump_nodes(text, node))


if __name__ == "__main__":
    main()


API_VERSION: Final = "qda/v1"
BUILT_IN_CATALOG: Final = Path(__file__).parents[1] / "data" / "default.yaml"
BUILT_IN_ORIGIN: Final = "built-in catalog"
# No catalog is larger; a device or a model's weights given by mistake would be.
MAX_BYTES: Final = 16 * 2**20

_KEY: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_KEY_ALLOWED: Final = "1 to 63 of a-z 0-9 - . _, with a letter or digit first and last"
_MODEL_FIELDS: Final = ("key", "task", "huggingface", "spacy", "serving", "licence")


def load_catalog(path: Path | None) -> Catalog:
    """Read a catalog file; None: the one inside the package. Raises `CatalogInvalid`."""
    text, origin = read_catalog_text(path), _origin(path)
    if path is None and (kept := kept_nodes(text)) is not None:
        return _catalog(kept, origin, Mistakes(origin))
    return parse_catalog(text, origin)


def read_catalog_text(path: Path | None) -> str:
    """Return the text of a catalog file; None: of the one inside the package. Raises `CatalogInvalid`."""
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
    """Read a catalog's text; `origin` names it in messages. Raises `CatalogInvalid` with all mistakes."""
    from model_cache.catalog.yaml_text import (
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
