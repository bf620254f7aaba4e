"""The catalog: the models of a release, each pinned to its bytes, and how each is served.

Plain frozen values. `model_cache.catalog.parse` reads them from YAML.

`generation` and `model_digest` identify a catalog and a model by what decides their bytes. The generation is the
SHA-256 of the canonical JSON of all models, sorted by key: UTF-8, keys sorted, no spaces, characters not escaped. A
model is its key with either repository, commit and the sorted set of files, or package, version and the wheel's sha256:

    [{"files":["config.json","model.safetensors"],"key":"a","repository":"org/name","revision":"<40 hex>"},
     {"key":"b","package":"de_core_news_lg","sha256":"<64 hex>","version":"3.8.0"}]

(on one line, without the line break). A model's digest is the SHA-256 of its own object in the same form. Task,
serving, licence, URL, lock, order, comments and spelling do not count, so a change of how a model is served needs no
new generation. Never change this form: it would make every existing cache look incomplete.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from model_cache.cli.parser import closest_match
from model_cache.errors import UsageError

# The key of a model. It is also the name of a folder.
MODEL_KEY: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


class Task(StrEnum):
    """What a model is used for."""

    SENTIMENT = "sentiment"
    ENTITIES = "entities"
    EMBEDDING = "embedding"
    PARAPHRASE = "paraphrase"
    SYNTAX = "syntax"

    @property
    def uses_spacy(self) -> bool:
        """Whether its models are spaCy packages; those of the other tasks are repositories of a hub."""
        return self in (Task.ENTITIES, Task.SYNTAX)


class Precision(StrEnum):
    """Number format of a model's weights and computation. All but fp32 need a prepared form of the model."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


class Cleaning(StrEnum):
    """How a text is preprocessed before it is tokenized."""

    NONE = "none"
    GERMAN_SENTIMENT = "german-sentiment"


class HuggingFaceSource(NamedTuple):
    """Files of one commit of a repository on a Hugging Face hub.

    Attributes:
        repository: `ORG/NAME`, or `NAME` for the oldest repositories.
        revision: the commit, 40 lower-case hex digits.
        files: names or `fnmatch` patterns relative to the repository; only these are fetched.
    """

    repository: str
    revision: str
    files: tuple[str, ...]


def matching_names(pattern: str, names: Collection[str]) -> list[str]:
    """Return the names of files that a name or pattern of a catalog selects, in their order.

    As in the hub client, `*` also matches a slash. A name that exists as it is does not count as a pattern.
    """
    return [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]


class SpacySource(NamedTuple):
    """A spaCy package, as the wheel that was released.

    Attributes:
        package: import name, as `de_core_news_lg`.
        version: as in the wheel's name, `3.8.0`.
        url: http or https address of the wheel.
        sha256: sha256 of the wheel, 64 lower-case hex digits.
    """

    package: str
    version: str
    url: str
    sha256: str

    @property
    def wheel_name(self) -> str:
        """The wheel's file name: the last part of the URL's path."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])


class Serving(NamedTuple):
    """How the worker uses a model. Nothing here decides which bytes are fetched.

    Attributes:
        cleaning: applied to each text before it is tokenized.
        labels: the model's own label names to `positive`, `negative` or `neutral`; empty: the model's own names.
        max_tokens: upper limit of a text's length, in tokens (characters for spaCy); None: the model's own limit.
        shortened_dimensions: lengths to which its vectors may be truncated, because it was trained for that
            (Matryoshka representation learning).
        precision: number format that the model computes in.
        default: whether it answers requests for its task that name no model.
        prompts: texts to put before each text, by the name that requests give; in addition to those of its files.
    """

    cleaning: Cleaning = Cleaning.NONE
    labels: Mapping[str, str] = MappingProxyType({})
    max_tokens: int | None = None
    precision: Precision = Precision.FP32
    default: bool = False
    shortened_dimensions: tuple[int, ...] = ()
    prompts: Mapping[str, str] = MappingProxyType({})

    def __hash__(self) -> int:
        """Leave out `labels` and `prompts`, because mappings have no hash."""
        return hash((self.cleaning, self.max_tokens, self.precision, self.default))


class Model(NamedTuple):
    """One entry of a catalog.

    Attributes:
        key: the name that requests and reports use.
        task: what it is used for.
        source: where its files come from.
        serving: how the worker uses it.
        licence: an SPDX expression; None if the catalog gives none.
    """

    key: str
    task: Task
    source: HuggingFaceSource | SpacySource
    serving: Serving = Serving()
    licence: str | None = None

    @property
    def revision(self) -> str:
        """The commit, or a spaCy package's version."""
        return self.source.revision if isinstance(self.source, HuggingFaceSource) else self.source.version

    @property
    def source_name(self) -> str:
        """The repository, as `oliverguhr/german-sentiment-bert`, or the spaCy package, as `de_core_news_lg`."""
        return self.source.repository if isinstance(self.source, HuggingFaceSource) else self.source.package


class Catalog(NamedTuple):
    """The models of a release.

    Attributes:
        models: the models, in the order of the file.
        origin: the file's name in messages.
    """

    models: tuple[Model, ...]
    origin: str

    def model(self, key: str) -> Model:
        """Return the model of a key.

        Raises:
            UsageError: no model has this key; the message suggests one, the remedy lists all.
        """
        for model in self.models:
            if model.key == key:
                return model
        keys = [model.key for model in self.models]
        guess = closest_match(key, keys)
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise UsageError(
            f'no model "{key}" in {self.origin}{hint}', f"give one of these keys: {', '.join(keys)}"
        )

    def default_for(self, task: Task) -> Model | None:
        """Return the default model of a task: the one marked `default`, else the first, else None."""
        of_task = [model for model in self.models if model.task is task]
        marked = [model for model in of_task if model.serving.default]
        return next(iter([*marked, *of_task]), None)

    def select(self, keys: Iterable[str]) -> tuple[Model, ...]:
        """Return the models of these keys in catalog order, each once.

        Raises:
            UsageError: no model has one of the keys.
        """
        selected = {self.model(key).key for key in keys}
        return tuple(model for model in self.models if model.key in selected)


def generation(models: Iterable[Model]) -> str:
    """Return the generation of a catalog's models: 64 lower-case hex digits."""
    return _sha256([_identity(model) for model in sorted(models, key=lambda model: model.key)])


def model_digest(model: Model) -> str:
    """Return the digest of one model, which names its record in the cache: 64 lower-case hex digits."""
    return _sha256(_identity(model))


def _identity(model: Model) -> dict[str, str | list[str]]:
    source = model.source
    if isinstance(source, HuggingFaceSource):
        return {
            "key": model.key,
            "repository": source.repository,
            "revision": source.revision,
            "files": sorted(set(source.files)),
        }
    return {"key": model.key, "package": source.package, "version": source.version, "sha256": source.sha256}


def _sha256(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()
