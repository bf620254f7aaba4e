"""`cache-warmer plan`: show what `warm` would fetch, and whether the volume is suitable; end with that exit code.

The plan is a survey of the models and the result of the preflight, as values whose fields are those of the JSON
document. Requests go to the sources of incomplete models only. Nothing is changed, except that the preflight makes and
removes one probe folder, unless `--no-probe` is given.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from cache_warmer.commands.command import Invocation
from cache_warmer.commands.form_notes import read_form_reports
from cache_warmer.disk.preflight import Verdict, preflight
from cache_warmer.disk.probe import write_probe
from cache_warmer.disk.volume import explain_os_errors
from cache_warmer.survey import ModelSurvey, bad_files, survey_models, written_files, written_folders
from model_cache.catalog.catalog import Model, SpacySource, generation
from model_cache.check.check import check
from model_cache.check.prepared_forms import FormReport
from model_cache.check.report import form_lines
from model_cache.check.types import Tier
from model_cache.cli.options import OutputFormat
from model_cache.cli.parser import OptionParser
from model_cache.explanations import hint_line, with_help
from model_cache.formatting import human_bytes, printable
from model_cache.json_values import to_json_text
from model_cache.layout import model_folder, spacy_package_folder
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file.

    Attributes:
        path: the path in the model.
        bytes: its size; None if the source does not list it.
        present: whether it is in the cache.
    """

    path: str
    bytes: int | None
    present: bool


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """One model.

    Attributes:
        key: the key in the catalog.
        source: Repository or package.
        revision: Commit or version.
        files: all selected files.
        bytes_to_fetch: Without what an earlier run staged, and without bodies that a model before it fetches.
        bytes_present: size of the files that are in the cache.
        bytes_of_whole_repository: with the files that are not selected; None if it is not known.
    """

    key: str
    source: str
    revision: str
    files: tuple[PlannedFile, ...]
    bytes_to_fetch: int
    bytes_present: int
    bytes_of_whole_repository: int | None


@dataclass(frozen=True, slots=True)
class PreflightResult:
    """The part of the preflight's verdict that is in the document; see `Verdict`."""

    reason: Reason
    bytes_needed: int
    bytes_free: int | None
    inodes_free: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The document of `cache-warmer plan --format json`; the bytes are the sums over the models."""

    generation: str
    bytes_to_fetch: int
    bytes_present: int
    bytes_of_whole_repositories: int | None
    models: tuple[PlannedModel, ...]
    preflight: PreflightResult
    prepared: tuple[FormReport, ...] = ()


def add_plan_arguments(parser: OptionParser) -> None:
    """Add --no-probe to a parser."""
    parser.add_argument(
        "--no-probe",
        action="store_true",
        help="check the free space only, without writing a probe folder (default: probe the volume)",
    )


def run_plan(invocation: Invocation) -> int:
    """Print the plan and return the exit code of the preflight.

    Raises:
        ModelCacheError: the catalog, a source or the cache cannot be read.
    """
    settings, environ = invocation.settings(), invocation.environ
    catalog, lock = settings.load_catalog()
    places = settings.find_places(environ)
    keys = settings.options.models
    models = catalog.select(keys) if keys else catalog.models
    sources = settings.make_sources(places, lock, environ)
    with explain_os_errors(places):
        bad = bad_files(check(models, places, whole_catalog=not keys, lock=lock))
        surveys = survey_models(
            models, bad, places, sources, lock, None, published="" if keys else generation(catalog.models)
        )
        verdict = preflight(
            [one.space_needed for one in surveys],
            places,
            probe=write_probe if settings.probe else None,
            folders=written_folders(surveys, places),
            files=written_files(surveys),
        )
    plan = make_plan(generation(catalog.models), surveys, verdict)
    plan = dataclasses.replace(plan, prepared=read_form_reports(settings, environ, Tier.FAST))
    as_json = settings.options.format is OutputFormat.JSON
    print(to_json_text(with_help(plan)) if as_json else to_table(plan), file=invocation.out)
    return verdict.reason.exit_code


def make_plan(generation: str, surveys: Sequence[ModelSurvey], verdict: Verdict) -> Plan:
    """Return the plan from the survey of the models and the verdict of the preflight."""
    models = tuple(_planned_model(one) for one in surveys)
    return Plan(
        generation,
        bytes_to_fetch=sum(model.bytes_to_fetch for model in models),
        bytes_present=sum(model.bytes_present for model in models),
        bytes_of_whole_repositories=_sum_if_known(model.bytes_of_whole_repository for model in models),
        models=models,
        preflight=PreflightResult(
            verdict.reason, verdict.bytes_needed, verdict.bytes_free, verdict.inodes_free, verdict.detail
        ),
    )


def _planned_model(one: ModelSurvey) -> PlannedModel:
    model, files = one.artifact.model, _planned_files(one)
    return PlannedModel(
        model.key,
        model.source_name,
        model.revision,
        files,
        bytes_to_fetch=one.bytes_to_fetch,
        bytes_present=sum(file.bytes or 0 for file in files if file.present),
        bytes_of_whole_repository=one.repository_bytes,
    )


def _planned_files(one: ModelSurvey) -> tuple[PlannedFile, ...]:
    if one.record is not None:
        root = _root(one.artifact.model)
        return tuple(
            PlannedFile(str(PurePosixPath(file.path).relative_to(root)), file.bytes, True)
            for file in one.record.files
        )
    assert one.resolution is not None  # without a record the source was queried
    missing = {download.name for download in one.missing}
    return tuple(
        PlannedFile(download.name, download.expected.bytes, download.name not in missing)
        for download in one.resolution.downloads
    )


def _root(model: Model) -> PurePosixPath:
    """Return the folder with which the paths in this model's record begin."""
    return (
        spacy_package_folder(model.source)
        if isinstance(model.source, SpacySource)
        else model_folder(model)[1]
    )


def _sum_if_known(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count or 0 for count in known)


def to_table(plan: Plan) -> str:
    """Return a block for each model (its files, then its sums), the prepared forms, all sums, and the preflight."""
    total = (
        f"in all: {human_bytes(plan.bytes_to_fetch)} to fetch, {human_bytes(plan.bytes_present)} there "
        f"(whole repositories: {_size(plan.bytes_of_whole_repositories)})"
    )
    forms = [printable(line) for form in plan.prepared for line in form_lines(form)]
    lines = [*map(_block, plan.models), *forms, total, f"preflight: {plan.preflight.detail}"]
    return "\n".join([*lines, hint_line(plan.preflight.reason)]).rstrip()


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
