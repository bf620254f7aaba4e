"""The models that this worker serves, and where each is on its way into service.

One plain object, changed by the event loop only, so it needs no lock. Requests choose their model here; health, metrics
and GetCacheStatus read it.

A loaded model with its queue: what a member of the fleet answers with.

Which files a model was loaded from, so that a replaced one is noticed.

A mapped file that is replaced by rename goes on being served from its old bytes; only its name leads to others. Device
and inode tell the two apart, for every file in the model's folder, through links.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeAlias

from model_cache.catalog.catalog import Catalog, Model, Task, generation, model_digest
from model_cache.check.types import CheckReport, ModelReport
from model_cache.cli.parser import nearest
from model_cache.errors import ModelCacheError, with_remedy
from model_cache.reasons import Reason
from qda_worker.errors import ModelUnknown, ModelWrongTask, NotReady, TaskNotServed
from qda_worker.models.base import ModelInfo, Options, TextModel
from qda_worker.scheduling.jobs import Lane, Outcome
from qda_worker.scheduling.observer import SILENT, Observer
from qda_worker.scheduling.queue import ModelQueue


@dataclass(frozen=True, slots=True)
class Engine:
    """Owns both: the queue ends before the model is closed."""

    model: TextModel[Any, Any, Any]
    queue: ModelQueue[Any, Any, Any]

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self.model.info

    async def answer(
        self, texts: Sequence[str], options: Options, lane: Lane, deadline: float | None, caller: str
    ) -> list[Outcome[Any]]:
        """One outcome a text; see `ModelQueue.submit`. Cancelling the task drops what is not computed."""
        return await self.queue.answer(texts, options, lane=lane, deadline=deadline, caller=caller)

    def close(self, timeout: float) -> None:
        """Refuse what waits, wait at most `timeout` seconds for the batch that runs, and let go of the model."""
        self.queue.close(drain=False, timeout=timeout)
        self.model.close()


def start_engine(
    model: Model,
    path: Path,
    pool: Executor,
    *,
    device: str,
    threads: int,
    on_failure: Callable[[str], None],
    observer: Observer = SILENT,
) -> Engine:
    """Load a model and have it answer once; blocks for seconds. Raises ModelCacheError.

    pool: where texts are tokenised. on_failure: called once, from another thread, when the model has died.
    observer: hears of what the queue does.
    """
    from qda_worker.models.loading import (
        load_model,
    )  # here: what it imports is heavy, and the server listens already

    loaded = load_model(model, path, device=device, threads=threads)
    return Engine(loaded, ModelQueue(loaded, pool, on_failure=on_failure, observer=observer))


# Device and inode by path relative to the model's folder.
Identities: TypeAlias = Mapping[str, tuple[int, int]]


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    """The identity of each file below `folder`. What cannot be looked at is left out: the check reports it."""
    found: dict[str, tuple[int, int]] = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(directory, name)
            try:
                seen = os.stat(path)
            except OSError:
                continue
            found[os.path.relpath(path, folder)] = (seen.st_dev, seen.st_ino)
    return found


def replaced(then: Identities, now: Identities) -> bool:
    """Whether a file that was there then is another now. One that is gone is not: what is mapped stays."""
    return any(now[name] != identity for name, identity in then.items() if name in now)


class State(Enum):
    """Where a model is on its way into service."""

    WAITING = "waiting"
    LOADING = "loading"
    SERVING = "serving"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelProblem:
    """Why something does not serve, and what to do."""

    reason: Reason
    detail: str
    remedy: str

    @classmethod
    def of(cls, error: ModelCacheError) -> "ModelProblem":
        """The trouble that an error tells of."""
        return cls(error.reason, error.message, error.remedy)

    def __str__(self) -> str:
        return f"{self.reason}: {with_remedy(self.detail, self.remedy)}"


@dataclass(slots=True)
class ServedModel:
    """One model that this worker serves.

    trouble: why it is FAILED; else None.
    engine: set while SERVING.
    loaded_from: the identity of its files when it was loaded. replaced: whether these have changed since.
    load_seconds: how long the last load took; None before.
    """

    model: Model
    digest: str
    state: State = State.WAITING
    trouble: ModelProblem | None = None
    engine: Engine | None = None
    loaded_from: Identities = field(default_factory=dict)
    replaced: bool = False
    load_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers one request, and what its provenance says beside the engine's own info."""

    engine: Engine
    digest: str
    generation: str


# For each task the tasks of the models that can do it, the one whose default answers first.
USES: Final[Mapping[Task, tuple[Task, ...]]] = {
    Task.SENTIMENT: (Task.SENTIMENT,),
    Task.ENTITIES: (Task.ENTITIES,),
    Task.EMBEDDING: (Task.EMBEDDING, Task.PARAPHRASE),
    Task.PARAPHRASE: (Task.PARAPHRASE, Task.EMBEDDING),
}


class ModelRegistry:
    """The members, by key in the catalog's order, and what the last look at the cache found."""

    def __init__(self, catalog: Catalog, served: Sequence[Model]) -> None:
        self.catalog = catalog
        self.members = {model.key: ServedModel(model, model_digest(model)) for model in served}
        self.generation = generation(catalog.models) if catalog.models else ""
        self.report: CheckReport | None = None
        self.checked_at: float | None = None
        self.trouble: ModelProblem | None = None
        self.fetch_trouble: ModelProblem | None = None
        self.ending = asyncio.Event()
        """Set when this worker stops taking work in: long streams end then."""

    @classmethod
    def without_catalog(cls, trouble: ModelProblem) -> "ModelRegistry":
        """The fleet of a worker whose catalog is invalid: it serves nothing, and says why."""
        fleet = cls(Catalog((), ""), ())
        fleet.trouble = trouble
        return fleet

    @property
    def complete(self) -> bool:
        """Whether the last look found the cache complete."""
        return self.report is not None and self.report.reason is Reason.OK

    @property
    def restart_needed(self) -> bool:
        """Whether a file in use was replaced since it was loaded."""
        return any(member.replaced for member in self.members.values())

    @property
    def loaded(self) -> bool:
        """Whether every model has loaded and answered."""
        return bool(self.members) and all(member.state is State.SERVING for member in self.members.values())

    def of_task(self, task: Task) -> list[ServedModel]:
        """The members whose state decides whether `task` is served: those of the task itself, else its stand-ins."""
        for kind in USES[task]:
            found = [member for member in self.members.values() if member.model.task is kind]
            if found:
                return found
        return []

    def serves(self, task: Task) -> bool:
        """Whether every model that answers for `task` serves."""
        members = self.of_task(task)
        return bool(members) and all(member.state is State.SERVING for member in members)

    def choose(self, key: str, task: Task) -> Serving:
        """Who answers a request for `task` that names the model `key`, or none.

        Raises ModelUnknown, ModelWrongTask, TaskNotServed or NotReady.
        """
        if not self.catalog.models:
            raise NotReady(
                f"no catalog is served: {self.trouble}" if self.trouble else "no catalog is served",
                lasting=True,
            )
        member = self._named(key, task) if key else self._default(task)
        if member.state is not State.SERVING or member.engine is None:
            raise NotReady(
                f'the model "{member.model.key}" is not ready: {self.why(member)}',
                lasting=member.state is State.FAILED
                and bool(member.loaded_from),  # else it is loaded anew soon
            )
        return Serving(member.engine, member.digest, self.generation)

    def why(self, member: ServedModel) -> str:
        """Why a member does not serve, in a sentence without its remedy."""
        if member.trouble is not None:
            return f"{member.trouble.reason}: {member.trouble.detail}"
        if member.state is State.LOADING:
            return "it is being loaded"
        trouble = self.cache_trouble()
        return f"{trouble.reason}: {trouble.detail}" if trouble else "the cache is being checked"

    def cache_trouble(self) -> ModelProblem | None:
        """The gravest thing wrong with catalog or cache; None where nothing is, or nobody has looked yet."""
        if self.trouble is not None:
            return self.trouble
        if self.report is None or self.report.reason is Reason.OK:
            return None
        if self.fetch_trouble is not None:
            return self.fetch_trouble
        problems = [
            *self.report.problems,
            *(problem for model in self.report.models for problem in model.problems),
        ]
        worst = next(problem for problem in problems if problem.reason is self.report.reason)
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        return ModelProblem(worst.reason, f"{worst.file}: {worst.detail}{more}", worst.remedy)

    def report_of(self, key: str) -> ModelReport | None:
        """What the last look found of one model."""
        return next((each for each in self.report.models if each.key == key), None) if self.report else None

    def _named(self, key: str, task: Task) -> ServedModel:
        model = next((model for model in self.catalog.models if model.key == key), None)
        if model is None:
            served = [member.model.key for member in self._able(task)]
            guess = nearest(key, (model.key for model in self.catalog.models))
            hint = f'; did you mean "{guess}"?' if guess else ""
            raise ModelUnknown(
                f'no model "{key[:100]}" in the catalog{hint}',
                f"leave the model empty for the default, or name one of: {', '.join(served) or 'none'}",
            )
        if model.task not in USES[task]:
            keys = ", ".join(each.model.key for each in self._able(task)) or "none is served here"
            raise ModelWrongTask(
                f'"{key}" is a model for {model.task}, not for {task}', f"models that can do it: {keys}"
            )
        if key not in self.members:
            raise TaskNotServed(
                f'this worker does not serve "{key}"',
                f"ask another worker, or start this one with --model {key}",
            )
        return self.members[key]

    def _default(self, task: Task) -> ServedModel:
        default = self.catalog.default_for(task)
        if default is not None and default.key in self.members:
            return self.members[default.key]
        others = ", ".join(member.model.key for member in self._able(task))
        why = (
            f'the default for {task}, "{default.key}", is not served here'
            if default
            else f"no default for {task}"
        )
        raise TaskNotServed(why, f"name one of the models that are: {others}" if others else None)

    def _able(self, task: Task) -> list[ServedModel]:
        return [member for member in self.members.values() if member.model.task in USES[task]]
