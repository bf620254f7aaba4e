"""The catalog: which models a release wants, each pinned to its bytes, and how to serve it.

Plain frozen values. `catalog_file` reads them from YAML, `digest` names them by content.

Names a catalog, and each model of it, by what decides its bytes.

The generation is the SHA-256 of the canonical JSON of all models, sorted by key: UTF-8, keys sorted, no
spaces, characters not escaped. A model is its key with either repository, commit and the sorted set of
files, or package, version and the wheel's sha256:

    [{"files":["config.json","model.safetensors"],"key":"a","repository":"org/name","revision":"<40 hex>"},
     {"key":"b","package":"de_core_news_lg","sha256":"<64 hex>","version":"3.8.0"}]

(on one line, without the line break). A model's digest is the SHA-256 of its own object in the same form.
Task, serving, licence, URL, lock, order, comments and spelling do not count, so that changing how a model
is served needs no new generation. Changing this form makes every cache look incomplete: don't.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from model_cache.cli.parser import nearest
from model_cache.errors import UsageError


class Task(StrEnum):
    """What a model is used for."""

    SENTIMENT = "sentiment"
    ENTITIES = "entities"
    EMBEDDING = "embedding"
    PARAPHRASE = "paraphrase"


class Precision(StrEnum):
    """The numbers a model computes with. All but fp32 come from a prepared form."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


class Cleaning(StrEnum):
    """What is done to a text before the tokenizer sees it."""

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


class SpacySource(NamedTuple):
    """A spaCy package, as the wheel that was released.

    Attributes:
        package: import name, as `de_core_news_lg`.
        version: as in the wheel's name, `3.8.0`.
        url: http or https address of the wheel.
        sha256: of the wheel, 64 lower-case hex digits.
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
        cleaning: applied to each text first.
        labels: the model's own label names to `positive`, `negative` or `neutral`; empty: as they are.
        max_tokens: upper limit of a text's length (characters for spaCy); None: the model's own.
        shortened_dimensions: lengths to which its vectors may be cut, because it was trained for that (Matryoshka).
        precision: what the model computes in.
        default: whether it answers requests for its task that name no model.
    """

    cleaning: Cleaning = Cleaning.NONE
    labels: Mapping[str, str] = MappingProxyType({})
    max_tokens: int | None = None
    precision: Precision = Precision.FP32
    default: bool = False
    shortened_dimensions: tuple[int, ...] = ()

    def __hash__(self) -> int:
        """Mappings have none; the rest is enough."""
        return hash((self.cleaning, self.max_tokens, self.precision, self.default))


class Model(NamedTuple):
    """One entry of a catalog. `licence` is an SPDX expression or None."""

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
        """`oliverguhr/german-sentiment-bert`, or `de_core_news_lg` for a spaCy package."""
        return self.source.repository if isinstance(self.source, HuggingFaceSource) else self.source.package


class Catalog(NamedTuple):
    """The models of a release in the order they were written; `origin` names the file to its users."""

    models: tuple[Model, ...]
    origin: str

    def model(self, key: str) -> Model:
        """Return the model of that key. Raises `UsageError` that names the keys there are."""
        for model in self.models:
            if model.key == key:
                return model
        keys = [model.key for model in self.models]
        guess = nearest(key, keys)
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise UsageError(
            f'no model "{key}" in {self.origin}{hint}', f"give one of these keys: {', '.join(keys)}"
        )

    def default_for(self, task: Task) -> Model | None:
        """Return the model that answers for a task: the one marked `default`, else the first, else None."""
        of_task = [model for model in self.models if model.task is task]
        marked = [model for model in of_task if model.serving.default]
        return next(iter([*marked, *of_task]), None)

    def select(self, keys: Iterable[str]) -> tuple[Model, ...]:
        """Return the models of these keys in catalog order, each once. Raises `UsageError`."""
        wanted = {self.model(key).key for key in keys}
        return tuple(model for model in self.models if model.key in wanted)


def generation(models: Iterable[Model]) -> str:
    """Return the generation of a catalog's models: 64 lower-case hex digits."""
    return _sha256([_identity(model) for model in sorted(models, key=lambda model: model.key)])


def model_digest(model: Model) -> str:
    """Return the digest of one model, by which its record is found: 64 lower-case hex digits."""
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
