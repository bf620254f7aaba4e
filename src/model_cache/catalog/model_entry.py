"""Parse one entry of a catalog's `models`: its key, its task, where its files come from, and how it is served.

Every value is checked here. Names that would leave the cache, revisions that do not pin the model, and settings that
have no effect on it are mistakes; each is added to the problems of the file, and parsing continues.
"""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from model_cache.catalog.catalog import (
    MODEL_KEY,
    Cleaning,
    HuggingFaceSource,
    Model,
    Precision,
    Serving,
    SpacySource,
    Task,
)
from model_cache.catalog.fields import ScalarNode, Section
from model_cache.cli.parser import closest_match
from model_cache.safe_names import unsafe_reason
from model_cache.urls import shown_value

_MODEL_FIELDS: Final = ("key", "task", "huggingface", "spacy", "serving", "licence")
_SERVING_FIELDS: Final = (
    "cleaning",
    "labels",
    "max_tokens",
    "shortened_dimensions",
    "prompts",
    "precision",
    "default",
)
_SENTIMENT_LABELS: Final = ("positive", "negative", "neutral")

# A part of a repository's name, as the hub accepts it.
_REPOSITORY_PART: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_PACKAGE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_VERSION: Final = re.compile(r"[0-9][A-Za-z0-9.+]{0,63}")

_PROMPT_NAME: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,100}")
_MAX_PROMPT_LENGTH: Final = 2_000

_PROMPT_NAME_ALLOWED: Final = "1 to 100 characters without spaces"
_KEY_ALLOWED: Final = "1 to 63 of a-z 0-9 - . _, with a letter or digit first and last"
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


def parse_model(section: Section) -> Model | None:
    """Return the model of one entry; None if its key, task or source is wrong. All mistakes are added as problems."""
    section.reject_unknown(_MODEL_FIELDS)
    key = section.text("key", _KEY_ALLOWED)
    if key is not None and not MODEL_KEY.fullmatch(key):
        section.add_problem("key", f'"{ascii(key[:100])[1:-1]}"', _KEY_ALLOWED)
    tasks = " | ".join(Task)
    task_name = section.text("task", tasks)
    task = Task(task_name) if task_name in list(Task) else None
    if task_name is not None and task is None:
        section.add_problem("task", f'"{task_name[:80]}"', tasks, closest_match(task_name, list(Task)))
    licence = section.text("licence", "an SPDX name, as MIT") if section.has("licence") else None
    source = _source(section, task)
    serving = _serving(section, task)
    if key is None or task is None or source is None:
        return None
    return Model(key, task, source, serving, licence)


def _source(section: Section, task: Task | None) -> HuggingFaceSource | SpacySource | None:
    names = [name for name in ("huggingface", "spacy") if section.has(name)]
    if len(names) != 1:
        found = "both huggingface and spacy" if names else "neither huggingface nor spacy"
        section.problems.add(section.node.line, section.key, found, "one source: huggingface or spacy")
    source: HuggingFaceSource | SpacySource | None = None
    below = section.subsection("huggingface", "a mapping of repository, revision and files")
    if below is not None:
        source = _huggingface_source(below)
    below = section.subsection("spacy", "a mapping of package, version, url and sha256")
    if below is not None:
        source = _spacy_source(below)
    if len(names) == 1 and task is not None and (names == ["spacy"]) != task.uses_spacy:
        allowed = f"spacy for {task}" if task.uses_spacy else f"huggingface for {task}"
        section.add_problem(names[0], f"a {names[0]} source for the task {task}", allowed)
    return source


def _huggingface_source(section: Section) -> HuggingFaceSource | None:
    section.reject_unknown(("repository", "revision", "files"))
    repository = section.text("repository", _REPOSITORY_ALLOWED)
    if repository is not None and not _is_repository(repository):
        section.add_problem("repository", f'"{repository[:200]}"', _REPOSITORY_ALLOWED)
    revision = _hex_digits(section, "revision", 40, _COMMIT_ALLOWED)
    files = _file_patterns(section)
    if repository is None or revision is None:
        return None
    return HuggingFaceSource(repository, revision, files)


def _is_repository(name: str) -> bool:
    parts = name.split("/")
    if len(parts) > 2 or "--" in name or ".." in name or name.endswith(".git"):
        return False
    return all(_REPOSITORY_PART.fullmatch(part) for part in parts)


def _file_patterns(section: Section) -> tuple[str, ...]:
    files: list[str] = []
    for index, node in enumerate(section.items("files", _FILES_ALLOWED)):
        path = f"{section.key}.files[{index}]"
        if not isinstance(node, ScalarNode) or node.kind != "text":
            section.problems.add(node.line, path, str(node), "a file name or pattern, as text")
            continue
        reason = unsafe_reason(node.text)
        if reason:
            allowed = "a relative path with / between its parts, inside the repository"
            section.problems.add(node.line, path, f"{node}, which {reason}", allowed)
        files.append(node.text)
    return tuple(files)


def _spacy_source(section: Section) -> SpacySource | None:
    section.reject_unknown(("package", "version", "url", "sha256"))
    package = section.text("package", _PACKAGE_ALLOWED)
    if package is not None and not _PACKAGE.fullmatch(package):
        section.add_problem("package", f'"{package[:200]}"', _PACKAGE_ALLOWED)
    version = section.text("version", _VERSION_ALLOWED)
    if version is not None and not _VERSION.fullmatch(version):
        section.add_problem("version", f'"{version[:200]}"', _VERSION_ALLOWED)
    url = section.text("url", "the http or https address of the wheel")
    sha256 = _hex_digits(section, "sha256", 64, _SHA256_ALLOWED)
    if url is not None:
        _check_url(section, url, package, version)
    if package is None or version is None or url is None or sha256 is None:
        return None
    return SpacySource(package, version, url, sha256)


def _check_url(section: Section, url: str, package: str | None, version: str | None) -> None:
    try:
        parts = urlsplit(url)
        host, secret = parts.hostname, parts.password or parts.username
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:  # without its text, which quotes a part of the password where that has a slash in it
        section.add_problem("url", "an address that cannot be read", "https://HOST/PATH/NAME.whl")
        return
    if secret:
        # The message must not show the address.
        section.add_problem("url", "an address with a user or password in it", "an address without secrets")
        return
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        shown = ascii(shown_value(url)[:200])[1:-1]
        section.add_problem("url", f'"{shown}"', "an address as https://HOST/PATH/NAME.whl")
        return
    name = unquote(parts.path.rpartition("/")[2])
    if package is not None and version is not None:
        pattern = rf"{re.escape(package)}-{re.escape(version)}-[^-]+-[^-]+-[^-]+\.whl"
        if unsafe_reason(name) or "/" in name or not re.fullmatch(pattern, name):
            allowed = f"a wheel of that package and version, named {package}-{version}-py3-none-any.whl"
            section.add_problem("url", f'the file name "{ascii(name[:200])[1:-1]}"', allowed)


def _hex_digits(section: Section, name: str, length: int, allowed: str) -> str | None:
    """Return a field of `length` lower-case hex digits, or None with a problem added."""
    text = section.text(name, allowed, digits=True)
    if text is None or re.fullmatch(rf"[0-9a-f]{{{length}}}", text):
        return text
    lowered = text.strip().casefold()
    is_other_spelling = re.fullmatch(rf"[0-9a-f]{{{length}}}", lowered)
    if re.fullmatch(r"[0-9a-fA-F]{7,}", text) and not is_other_spelling:
        section.add_problem(name, f'"{text[:80]}" ({len(text)} hex digits)', allowed)
    else:
        kind = " (a branch or tag)" if name == "revision" and not is_other_spelling else ""
        section.add_problem(name, f'"{text[:80]}"{kind}', allowed, lowered if is_other_spelling else "")
    return None


def _serving(section: Section, task: Task | None) -> Serving:
    """Return the `serving` of a model; if the task is not known, nothing is compared with it."""
    below = section.subsection("serving", f"a mapping of {', '.join(_SERVING_FIELDS)}")
    if below is None:
        return Serving()
    below.reject_unknown(_SERVING_FIELDS)
    serving = Serving(
        cleaning=below.choice("cleaning", Cleaning, Cleaning.NONE),
        labels=_labels(below),
        max_tokens=below.positive_int("max_tokens"),
        precision=below.choice("precision", Precision, Precision.FP32),
        default=below.boolean("default"),
        shortened_dimensions=below.positive_ints("shortened_dimensions"),
        prompts=_prompts(below),
    )
    if task is not None:
        _check_serving(below, serving, task)
    return serving


def _check_serving(section: Section, serving: Serving, task: Task) -> None:
    """Add a problem for each setting that has no effect on a model of this task."""
    if task is not Task.SENTIMENT:
        if section.has("labels"):
            section.add_problem("labels", f"labels for the task {task}", "labels for sentiment only")
        if serving.cleaning is not Cleaning.NONE:
            found = f"the cleaning {serving.cleaning} for the task {task}"
            section.add_problem("cleaning", found, "none, or a cleaning for sentiment")
    if serving.shortened_dimensions and task not in (Task.EMBEDDING, Task.PARAPHRASE):
        found = f"shortened vectors for the task {task}"
        section.add_problem("shortened_dimensions", found, "them for models that return vectors only")
    if serving.prompts and task not in (Task.EMBEDDING, Task.PARAPHRASE):
        section.add_problem(
            "prompts", f"prompts for the task {task}", "them for models that return vectors only"
        )
    if task.uses_spacy and serving.precision is not Precision.FP32:
        section.add_problem("precision", f"{serving.precision} for a spaCy package", "fp32")


def _prompts(serving: Section) -> dict[str, str]:
    section = serving.subsection("prompts", 'a mapping of names to texts, as {query: "query: "}')
    prompts: dict[str, str] = {}
    if section is None:
        return prompts
    for name, (_, node) in section.node.fields.items():
        if not _PROMPT_NAME.fullmatch(name):
            section.add_problem(name, "a name that requests cannot give", _PROMPT_NAME_ALLOWED)
        elif isinstance(node, ScalarNode) and node.kind == "text" and len(node.text) <= _MAX_PROMPT_LENGTH:
            prompts[name] = node.text
        else:
            section.add_problem(name, node, f"a text of at most {_MAX_PROMPT_LENGTH:,} characters, in quotes")
    return prompts


def _labels(serving: Section) -> dict[str, str]:
    section = serving.subsection(
        "labels", "a mapping of the model's own labels to positive, negative or neutral"
    )
    labels: dict[str, str] = {}
    if section is None:
        return labels
    for own, (_, node) in section.node.fields.items():
        if isinstance(node, ScalarNode) and node.kind == "text" and node.text in _SENTIMENT_LABELS:
            labels[own] = node.text
        else:
            guess = closest_match(node.text, _SENTIMENT_LABELS) if isinstance(node, ScalarNode) else ""
            section.add_problem(own, node, " | ".join(_SENTIMENT_LABELS), guess)
    return labels
