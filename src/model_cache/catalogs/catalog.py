"""The catalog: which models a release wants, each pinned to its bytes, and how to serve it.

Plain frozen values. ``catalog_file`` reads them from YAML, ``digest`` names them by content.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from model_cache.errors import UsageError
from model_cache.programs.suggestion import nearest


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
        repository: ``ORG/NAME``, or ``NAME`` for the oldest repositories.
        revision: the commit, 40 lower-case hex digits.
        files: names or ``fnmatch`` patterns relative to the repository; only these are fetched.
    """

    repository: str
    revision: str
    files: tuple[str, ...]


class SpacySource(NamedTuple):
    """A spaCy package, as the wheel that was released.

    Attributes:
        package: import name, as ``de_core_news_lg``.
        version: as in the wheel's name, ``3.8.0``.
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
        labels: the model's own label names to ``positive``, ``negative`` or ``neutral``; empty: as they are.
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
    """One entry of a catalog. ``licence`` is an SPDX expression or None."""

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
        """``oliverguhr/german-sentiment-bert``, or ``de_core_news_lg`` for a spaCy package."""
        return self.source.repository if isinstance(self.source, HuggingFaceSource) else self.source.package


class Catalog(NamedTuple):
    """The models of a release in the order they were written; ``origin`` names the file to its users."""

    models: tuple[Model, ...]
    origin: str

    def model(self, key: str) -> Model:
        """Return the model of that key. Raises ``UsageError`` that names the keys there are."""
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
        """Return the model that answers for a task: the one marked ``default``, else the first, else None."""
        of_task = [model for model in self.models if model.task is task]
        marked = [model for model in of_task if model.serving.default]
        return next(iter([*marked, *of_task]), None)

    def select(self, keys: Iterable[str]) -> tuple[Model, ...]:
        """Return the models of these keys in catalog order, each once. Raises ``UsageError``."""
        wanted = {self.model(key).key for key in keys}
        return tuple(model for model in self.models if model.key in wanted)
