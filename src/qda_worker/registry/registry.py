"""The models that this worker serves, and the state of each on its way into service.

`ModelRegistry` is one plain object. Only the event loop reads and changes it, so it needs no lock. The services select
the model for a request here; health, metrics and GetCacheStatus read it. `CacheWatch` moves the models from state to
state: WAITING -> LOADING -> SERVING, or FAILED with a `ModelProblem`. `ModelWatchdog` notes which of those that serve
cannot compute at the moment; they are still selected, and their texts wait.

A `ServedModel` that serves has an `Engine`: the loaded model together with its queue (see `scheduling.queue`).

The files that a model was loaded from are remembered by device and inode (`file_identities`). The weights are mapped
into memory. If a file is replaced by rename, the model keeps serving the old bytes, and only the path leads to the new
file; comparing identities detects this, so that the worker can report that a restart is needed.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias

from model_cache.catalog.catalog import Catalog, Model, Task, generation, model_digest
from model_cache.check.deep_check_record import DeepCheck
from model_cache.check.files import Remedies
from model_cache.check.types import CheckReport, ModelReport, all_problems
from model_cache.cli.parser import closest_match
from model_cache.errors import ModelCacheError, with_remedy
from model_cache.reasons import Reason
from model_cache.run_record import Kill
from qda_worker.errors import ModelUnknown, ModelWrongTask, NotReady, TaskNotServed
from qda_worker.registry.engine import Engine
from qda_worker.scheduling.load_turns import LoadTurns
from qda_worker.scheduling.turns import ComputeTurns

# For each task, the tasks of the models that can do it. The default model of the first one is used first.
COMPATIBLE_TASKS: Final[Mapping[Task, tuple[Task, ...]]] = {
    Task.SENTIMENT: (Task.SENTIMENT,),
    Task.ENTITIES: (Task.ENTITIES,),
    Task.EMBEDDING: (Task.EMBEDDING, Task.PARAPHRASE),
    Task.PARAPHRASE: (Task.PARAPHRASE, Task.EMBEDDING),
    Task.SYNTAX: (Task.SYNTAX, Task.ENTITIES),
}
# For each task, the tasks whose default answers requests that name no model: the first one that has a model.
_DEFAULT_TASKS: Final[Mapping[Task, tuple[Task, ...]]] = {Task.SYNTAX: (Task.SYNTAX, Task.ENTITIES)}

# Device and inode of each file, by path relative to the model's folder.
FileIdentities: TypeAlias = Mapping[str, tuple[int, int]]


class ModelState(Enum):
    """State of a model on its way into service."""

    WAITING = "waiting"
    LOADING = "loading"
    SERVING = "serving"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelProblem:
    """Why a model or the whole cache cannot be served, and what to do about it.

    Attributes:
        reason: the word for programs.
        detail: what is wrong.
        remedy: what to do about it.
    """

    reason: Reason
    detail: str
    remedy: str

    @classmethod
    def from_error(cls, error: ModelCacheError) -> "ModelProblem":
        """Return the problem that an error describes."""
        return cls(error.reason, error.message, error.remedy)

    def __str__(self) -> str:
        return f"{self.reason}: {with_remedy(self.detail, self.remedy)}"


@dataclass(slots=True)
class ServedModel:
    """One model that this worker serves.

    Attributes:
        model: the catalog entry.
        digest: digest of the model's catalog entry.
        state: its state on the way into service.
        problem: why the model is FAILED; None in other states.
        engine: set while the model is SERVING.
        loaded_files: identities of the files when the model was loaded.
        files_replaced: whether a file has been replaced since.
        damaged: whether the last deep check found damage in a file that is loaded, or will be.
        load_seconds: duration of the last load; None before the first.
        interrupted: whether its process has been away for some seconds and is being started again.
        hung: whether a batch of it has been running for so long that it will hardly end.
        device_lost: whether it needs a CUDA device that has failed in this process.
    """

    model: Model
    digest: str
    state: ModelState = ModelState.WAITING
    problem: ModelProblem | None = None
    engine: Engine | None = None
    loaded_files: FileIdentities = field(default_factory=dict)
    files_replaced: bool = False
    damaged: bool = False
    load_seconds: float | None = None
    interrupted: bool = False
    hung: bool = False
    device_lost: bool = False

    @property
    def answers(self) -> bool:
        """Whether it serves and nothing keeps it from computing."""
        return self.state is ModelState.SERVING and not (self.interrupted or self.hung)


@dataclass(frozen=True, slots=True)
class SelectedModel:
    """The model that answers a request.

    Attributes:
        engine: the loaded model and its queue.
        digest: digest of the model's catalog entry, for the provenance.
        generation: generation of the catalog, for the provenance.
    """

    engine: Engine
    digest: str
    generation: str


class ModelRegistry:
    """All models that this worker serves, and the result of the last cache check.

    Attributes:
        models: the served models by key, in catalog order.
        generation: generation of the catalog; empty without a catalog.
        report: result of the last cache check; None before the first.
        checked_at: time of the last cache check, in seconds since 1970.
        deep_check: the last deep check of this generation, as its record on the volume tells; None: there is none.
        remedies: the commands that fill and repair the cache, for messages.
        problem: why there is no catalog; None if there is one.
        fetch_problem: why filling the cache failed; None if it did not.
        kill: the last run of this pod that was killed; None if none was.
        refresh: checks the cache again unless the last check is recent; None before the watch runs.
        turns: of all computations of this process at its CPUs.
        load_turns: of all loads of models, and of the measurements in them.
        draining: set when the worker stops accepting work; long streams end then.
    """

    def __init__(self, catalog: Catalog, models: Sequence[Model]) -> None:
        self.catalog = catalog
        self.models = {model.key: ServedModel(model, model_digest(model)) for model in models}
        self.generation = generation(catalog.models) if catalog.models else ""
        self.report: CheckReport | None = None
        self.checked_at: float | None = None
        self.deep_check: DeepCheck | None = None
        self.remedies = Remedies()
        self.problem: ModelProblem | None = None
        self.fetch_problem: ModelProblem | None = None
        self.kill: Kill | None = None
        self.refresh: Callable[[], Awaitable[None]] | None = None
        self.turns = ComputeTurns()
        self.load_turns = LoadTurns(self.turns)
        self.draining = asyncio.Event()

    @classmethod
    def without_catalog(cls, problem: ModelProblem) -> "ModelRegistry":
        """Return the registry of a worker whose catalog is invalid: it serves nothing and reports `problem`."""
        registry = cls(Catalog((), ""), ())
        registry.problem = problem
        return registry

    @property
    def cache_complete(self) -> bool:
        """Whether the last check found the cache complete."""
        return self.report is not None and self.report.reason is Reason.OK

    @property
    def restart_needed(self) -> bool:
        """Whether a file in use has been replaced since it was loaded."""
        return any(served.files_replaced for served in self.models.values())

    @property
    def damaged(self) -> bool:
        """Whether a model was loaded from damaged files, or would be."""
        return any(served.damaged for served in self.models.values())

    @property
    def all_serving(self) -> bool:
        """Whether there are models and all of them serve."""
        return bool(self.models) and all(served.answers for served in self.models.values())

    @property
    def hung(self) -> bool:
        """Whether a model hangs in a thread of this process, or has lost its device, which only a restart can end."""
        return any(served.hung or served.device_lost for served in self.models.values())

    def models_for(self, task: Task) -> list[ServedModel]:
        """Return the models whose state decides whether `task` is served.

        These are the models of the task itself or, if there are none, of a compatible task.
        """
        for compatible in COMPATIBLE_TASKS[task]:
            models = [served for served in self.models.values() if served.model.task is compatible]
            if models:
                return models
        return []

    def is_serving(self, task: Task) -> bool:
        """Return whether every model that decides about `task` serves."""
        models = self.models_for(task)
        return bool(models) and all(served.answers for served in models)

    def select(self, key: str, task: Task) -> SelectedModel:
        """Select the model for a request.

        Args:
            key: key of the model; empty for the default of the task.
            task: what the request needs.

        Raises:
            ModelUnknown: when the catalog has no model of that key.
            ModelWrongTask: when the model cannot do the task.
            TaskNotServed: when this worker does not serve the model or the default of the task.
            NotReady: when the model is served but not in state SERVING.
        """
        if not self.catalog.models:
            raise NotReady(
                f"no catalog is served: {self.problem}" if self.problem else "no catalog is served",
                permanent=True,
            )
        served = self._select_by_key(key, task) if key else self._select_default(task)
        if served.state is not ModelState.SERVING or served.engine is None:
            raise NotReady(
                f'the model "{served.model.key}" is not ready: {self.unavailable_reason(served)}',
                # A model without loaded files died while serving and is reloaded soon; another failure is permanent.
                permanent=served.state is ModelState.FAILED and bool(served.loaded_files),
            )
        return SelectedModel(served.engine, served.digest, self.generation)

    def model_problem(self, served: ServedModel) -> ModelProblem | None:
        """Return why a model does not serve: its own problem, that of its files, or that of the whole cache.

        None for a model that serves or is being loaded, and before the first check.
        """
        if served.problem is not None or served.state is not ModelState.WAITING:
            return served.problem
        report = self.model_report(served.model.key)
        if report is not None and report.problems:
            worst = next(problem for problem in report.problems if problem.reason is report.reason)
            return ModelProblem(worst.reason, f"{worst.file}: {worst.detail}", worst.remedy)
        return self.cache_problem()

    def unavailable_reason(self, served: ServedModel) -> str:
        """Return why a model does not serve, in one sentence without a remedy.

        Of a model that waits for its files, the caller needs the cause (a warm that failed, a catalog that is
        invalid), so the problem of the cache comes before that of its own files.
        """
        if served.problem is None and served.state is ModelState.LOADING:
            return "it is being loaded"
        problem = served.problem or self.cache_problem()
        return f"{problem.reason}: {problem.detail}" if problem else "the cache is being checked"

    def cache_problem(self) -> ModelProblem | None:
        """Return the most severe problem of the catalog or cache; None if there is none or no check has run yet."""
        if self.problem is not None:
            return self.problem
        if self.report is None or self.report.reason is Reason.OK:
            return None
        if self.fetch_problem is not None:
            return self.fetch_problem
        problems = all_problems(self.report)
        worst = next(problem for problem in problems if problem.reason is self.report.reason)
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        return ModelProblem(worst.reason, f"{worst.file}: {worst.detail}{more}", worst.remedy)

    def model_report(self, key: str) -> ModelReport | None:
        """Return what the last cache check found for one model; None before the first check."""
        return next((each for each in self.report.models if each.key == key), None) if self.report else None

    def _select_by_key(self, key: str, task: Task) -> ServedModel:
        model = next((model for model in self.catalog.models if model.key == key), None)
        if model is None:
            keys = [served.model.key for served in self._compatible_models(task)]
            guess = closest_match(key, (model.key for model in self.catalog.models))
            hint = f'; did you mean "{guess}"?' if guess else ""
            raise ModelUnknown(
                f'no model "{key[:100]}" in the catalog{hint}',
                f"leave the model empty for the default, or name one of: {', '.join(keys) or 'none'}",
            )
        if model.task not in COMPATIBLE_TASKS[task]:
            compatible = ", ".join(served.model.key for served in self._compatible_models(task))
            raise ModelWrongTask(
                f'"{key}" is a model for {model.task}, not for {task}',
                f"models that can do it: {compatible or 'none is served here'}",
            )
        if key not in self.models:
            raise TaskNotServed(
                f'this worker does not serve "{key}"',
                f"use another worker, or start this one with --model {key}",
            )
        return self.models[key]

    def _select_default(self, task: Task) -> ServedModel:
        defaults = (self.catalog.default_for(each) for each in _DEFAULT_TASKS.get(task, (task,)))
        default = next((each for each in defaults if each is not None), None)
        if default is not None and default.key in self.models:
            return self.models[default.key]
        others = ", ".join(served.model.key for served in self._compatible_models(task))
        detail = (
            f'the default for {task}, "{default.key}", is not served here'
            if default
            else f"no default for {task}"
        )
        raise TaskNotServed(detail, f"name one of the models that are: {others}" if others else None)

    def _compatible_models(self, task: Task) -> list[ServedModel]:
        return [served for served in self.models.values() if served.model.task in COMPATIBLE_TASKS[task]]


def file_identities(*folders: Path) -> dict[str, tuple[int, int]]:
    """Return the identity of each file below the folders, links followed, by path relative to the first one.

    Files that cannot be inspected are left out: the cache check reports them.
    """
    identities: dict[str, tuple[int, int]] = {}
    for directory, _, names in chain.from_iterable(map(os.walk, folders)):
        for name in names:
            path = os.path.join(directory, name)
            try:
                status = os.stat(path)
            except OSError:
                continue
            identities[os.path.relpath(path, folders[0])] = (status.st_dev, status.st_ino)
    return identities


def any_file_replaced(before: FileIdentities, now: FileIdentities) -> bool:
    """Return whether a file has been replaced. A deleted one does not count: what is mapped into memory remains."""
    return any(now[name] != identity for name, identity in before.items() if name in now)
