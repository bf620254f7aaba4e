"""What a worker says about itself: its models, its limits and its cache, as frozen plain Python values."""

from dataclasses import dataclass
from datetime import datetime

from qda_worker.client.enums import EmbeddingKind, LimitUnit, ModelState, Task


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the worker serves.

    Attributes:
        key: the name by which requests call it.
        is_default: whether requests that name no model get it.
        source: a repository of the hub, or a spaCy package; `revision` is its commit or version.
        licence: SPDX expression; empty where the catalog does not say.
        limit: the longest text that it reads at once, in `limit_unit`; 0 until it is loaded.
        dimensions: length of its dense vectors; 0 for models without.
        shortened_dimensions: lengths that requests may ask for instead.
        reason, detail: why it is not serving; empty when it serves.
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request to this worker may hold. 0: a worker too old to say."""

    texts: int
    request_bytes: int
    response_bytes: int
    set_texts: int
    queued_texts: int
    queued_bytes: int = 0
    search_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a worker in its catalog's order, its limits, its version and its catalog's generation."""

    models: tuple[Model, ...]
    limits: Limits
    worker_version: str
    generation: str


@dataclass(frozen=True, slots=True)
class CacheProblem:
    """One thing that is wrong with the cache: the file, the reason, what was found, what to do."""

    file: str
    reason: str
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ModelCache:
    """The state of one model's files; `problems` holds 20 at most, `problem_count` counts them all.

    `restart_needed`: a file of it was replaced since the worker loaded it.
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


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """What the worker's last check of its cache found; `reason` is OK when all is well and all models are loaded.

    Attributes:
        checked_at: when, in UTC; None before the first check.
        restart_needed: whether files were replaced under the worker, so that only a restart serves the present ones.
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
