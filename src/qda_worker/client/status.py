"""The worker's status as frozen plain Python values: its models, its limits and its cache.

Imports neither protobuf nor gRPC; `from_proto` makes these values from responses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from qda_worker.client.enums import EmbeddingKind, LimitUnit, ModelState, SyntaxLayer, Task


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the worker's catalog.

    Attributes:
        key: the name by which requests select it.
        task: the task that it does.
        is_default: whether requests without a model use it.
        source: a repository of the Hugging Face Hub, or a spaCy package.
        revision: the repository's commit, or the package's version.
        precision: the number format of its weights: `fp32` for instance.
        licence: SPDX expression; empty if the catalog does not state one.
        limit: the longest text that it reads at once, in `limit_unit`; 0 until it is loaded.
        limit_unit: the unit of `limit`.
        dimensions: length of its dense vectors; 0 for models without.
        embedding_kinds: the kinds of vectors that it can compute.
        shortened_dimensions: shorter lengths that requests may ask for.
        labels: the labels that it can return.
        state: its state in the worker.
        reason: why it is not serving, as one word; empty when it serves.
        detail: the same as a sentence.
        model_digest: digest of its files, as in `Provenance`.
        engines: what computes it, as in `Provenance`; empty until it is loaded.
        syntax_layers: what `syntax` can return.
        components: those of its spaCy pipeline.
        prompts: texts that can be put before each text, by name.
        default_prompt_name: the prompt of requests that name none; empty: none.
    """

    key: str
    task: Task
    is_default: bool
    source: str
    revision: str
    precision: str
    licence: str
    limit: int
    limit_unit: LimitUnit
    dimensions: int
    embedding_kinds: tuple[EmbeddingKind, ...]
    shortened_dimensions: tuple[int, ...]
    labels: tuple[str, ...]
    state: ModelState
    reason: str
    detail: str
    model_digest: str
    engines: tuple[str, ...] = ()
    syntax_layers: tuple[SyntaxLayer, ...] = ()
    components: tuple[str, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """The worker's limits; 0 for one that the worker does not report (older versions).

    Attributes:
        texts: texts in one request.
        request_bytes: size of one request.
        response_bytes: size of one response.
        set_texts: texts in each set of a search for paraphrases.
        queued_texts: texts in the queue of one model.
        queued_bytes: bytes of the texts in the queue of one model.
        search_bytes: bytes of all texts of a search for paraphrases.
    """

    texts: int
    request_bytes: int
    response_bytes: int
    set_texts: int
    queued_texts: int
    queued_bytes: int = 0
    search_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Models:
    """The worker's models in the order of its catalog, its limits, its version and its catalog's generation."""

    models: tuple[Model, ...]
    limits: Limits
    worker_version: str
    generation: str


@dataclass(frozen=True, slots=True)
class CacheProblem:
    """One problem of the cache: the file, the reason, the details and the remedy."""

    file: str
    reason: str
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ModelCache:
    """The state of one model's files in the cache.

    Attributes:
        key: the model's key.
        reason: `OK`, or the worst problem's reason.
        bytes: size of all files.
        files: number of files.
        path: the model's folder.
        state: the model's state in the worker.
        problems: at most 20.
        problem_count: number of all problems.
        restart_needed: whether one of its files was replaced after the worker loaded it.
        damaged: whether the worker has loaded files in which a deep check found damage.
    """

    key: str
    reason: str
    bytes: int
    files: int
    path: str
    state: ModelState
    problems: tuple[CacheProblem, ...]
    problem_count: int
    restart_needed: bool = False
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class DeepCheck:
    """The result of the last deep check, which compared the hash of every file.

    Attributes:
        reason: `OK`, or the worst reason of bad files that were not replaced since.
        detail: the result as a sentence.
        ended_at: when it ended, in UTC.
        files: number of files that it found intact.
        bad_files: number of files that it found bad and that were not replaced since.
        mended_files: number of bad files that were fetched again afterwards.
    """

    reason: str
    detail: str
    ended_at: datetime
    files: int
    bad_files: int
    mended_files: int


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The result of the worker's last check of its cache.

    Attributes:
        reason: `OK` if the cache is complete, all models are loaded, and the last deep check found no bad file.
        detail: what is wrong, as a sentence.
        remedy: how to correct it.
        generation: the catalog's generation.
        cache: the cache's folder.
        checked_at: time of the check, in UTC; None before the first one.
        bytes: size of all files.
        files: number of files.
        restart_needed: whether files were replaced since the worker loaded them: only a restart loads the new ones.
        models: the state of each model's files.
        deep_check: the last deep check; None if there was none.
    """

    reason: str
    detail: str
    remedy: str
    generation: str
    cache: str
    checked_at: datetime | None
    bytes: int
    files: int
    restart_needed: bool
    models: tuple[ModelCache, ...]
    deep_check: DeepCheck | None = None
