"""`cache-warmer plan`: says what `warm` would do, and ends with the preflight's verdict.

What `warm` would do, as a value, as JSON and as a table. Looks and asks; changes nothing.
"""

import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TextIO

from cache_warmer.disk import volume
from cache_warmer.disk.preflight import Verdict, preflight, write_probe
from cache_warmer.settings import Settings
from cache_warmer.survey import ModelSurvey, incomplete, survey
from model_cache.catalog.catalog import Model, SpacySource, generation
from model_cache.check.check import check
from model_cache.check.report import human_bytes
from model_cache.cli.options import OutputFormat
from model_cache.layout import model_folder, spacy_tree
from model_cache.places import HOST


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file: path in the model, size (None: the source does not say), whether it is there."""

    path: str
    bytes: int | None
    present: bool


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """One model; `bytes_to_fetch` counts without what an earlier run staged."""

    key: str
    source: str
    revision: str
    files: tuple[PlannedFile, ...]
    bytes_to_fetch: int
    bytes_of_whole_repository: int | None

    @property
    def bytes_present(self) -> int:
        """Size of its files that are there."""
        return sum(file.bytes or 0 for file in self.files if file.present)


@dataclass(frozen=True, slots=True)
class Plan:
    """All models, and the preflight's verdict."""

    generation: str
    models: tuple[PlannedModel, ...]
    verdict: Verdict


def make_plan(generation: str, surveyed: Sequence[ModelSurvey], verdict: Verdict) -> Plan:
    """Return the plan."""
    return Plan(generation, tuple(_model(one) for one in surveyed), verdict)


def to_json(plan: Plan) -> dict[str, object]:
    """Return the document of `cache-warmer plan --format json`."""
    whole = [model.bytes_of_whole_repository for model in plan.models]
    verdict = plan.verdict
    return {
        "generation": plan.generation,
        "bytes_to_fetch": sum(model.bytes_to_fetch for model in plan.models),
        "bytes_present": sum(model.bytes_present for model in plan.models),
        "bytes_of_whole_repositories": None if None in whole else sum(size or 0 for size in whole),
        "models": [_model_to_json(model) for model in plan.models],
        "preflight": {
            "reason": str(verdict.reason),
            "bytes_needed": verdict.bytes_needed,
            "bytes_free": verdict.bytes_free,
            "inodes_free": verdict.inodes_free,
            "detail": verdict.detail,
        },
    }


def to_table(plan: Plan) -> str:
    """Return a block a model (its files, then its sums), all sums, and the verdict in one line."""
    blocks = [_block(model) for model in plan.models]
    whole = [model.bytes_of_whole_repository for model in plan.models]
    blocks.append(
        f"in all: {human_bytes(sum(model.bytes_to_fetch for model in plan.models))} to fetch, "
        f"{human_bytes(sum(model.bytes_present for model in plan.models))} there "
        f"(whole repositories: {_size(None if None in whole else sum(size or 0 for size in whole))})"
    )
    blocks.append(f"preflight: {plan.verdict.detail}")
    return "\n".join(blocks)


def _model(one: ModelSurvey) -> PlannedModel:
    model = one.artifact.model
    return PlannedModel(
        model.key, model.source_name, model.revision, _files(one), one.bytes_to_fetch, one.whole_bytes
    )


def _files(one: ModelSurvey) -> tuple[PlannedFile, ...]:
    if one.record is not None:
        root = _root(one.artifact.model)
        return tuple(
            PlannedFile(str(PurePosixPath(file.path).relative_to(root)), file.bytes, True)
            for file in one.record.files
        )
    assert one.wanted is not None  # without a record the source was asked
    missing = {download.name for download in one.missing}
    return tuple(
        PlannedFile(download.name, download.expected.bytes, download.name not in missing)
        for download in one.wanted.downloads
    )


def _root(model: Model) -> PurePosixPath:
    """The folder that a record's paths of this model begin with."""
    return spacy_tree(model.source) if isinstance(model.source, SpacySource) else model_folder(model)[1]


def _block(model: PlannedModel) -> str:
    head = f"{model.key} ({model.source} {model.revision[:12]})"
    files = [
        f"  {'there' if file.present else 'fetch'}  {_size(file.bytes):>9}  {file.path}"
        for file in model.files
    ]
    sums = (
        f"  {human_bytes(model.bytes_to_fetch)} to fetch, {human_bytes(model.bytes_present)} there "
        f"(whole repository: {_size(model.bytes_of_whole_repository)})"
    )
    return "\n".join([head, *files, sums])


def _size(count: int | None) -> str:
    return "unknown" if count is None else human_bytes(count)


def _model_to_json(model: PlannedModel) -> dict[str, object]:
    return {
        "key": model.key,
        "source": model.source,
        "revision": model.revision,
        "files": [{"path": file.path, "bytes": file.bytes, "present": file.present} for file in model.files],
        "bytes_to_fetch": model.bytes_to_fetch,
        "bytes_present": model.bytes_present,
        "bytes_of_whole_repository": model.bytes_of_whole_repository,
    }


def plan_command(settings: Settings, environ: MutableMapping[str, str], out: TextIO, _err: TextIO) -> int:
    """Print the plan and return the verdict's exit code. Raises `ModelCacheError`."""
    catalog, lock = settings.catalog()
    places = settings.places(environ)
    keys = settings.options.models
    models = catalog.select(keys) if keys else catalog.models
    sources = settings.sources(places, lock, environ, settings.retry)
    try:
        unwell = incomplete(check(models, places, whole_catalog=not keys))
        surveyed = survey(models, unwell, places, sources, lock, None)
        verdict = preflight(
            [one.room for one in surveyed], places, probe=write_probe if settings.probe else None
        )
    except OSError as error:
        raise volume.of_os_error(error, places.own.path, on_host=places.label == HOST) from error
    plan = make_plan(generation(catalog.models), surveyed, verdict)
    if settings.options.format is OutputFormat.JSON:
        out.write(json.dumps(to_json(plan), indent=2, ensure_ascii=False) + "\n")
    else:
        out.write(to_table(plan) + "\n")
    return verdict.reason.exit_code
