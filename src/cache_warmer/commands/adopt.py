"""`cache-warmer adopt`: take over models from a folder of another program, a wheel, or an archive.

Without `--apply` nothing is written: the report says what was found, how it was verified, and what would be linked or
copied. With it the verified files are put into the cache under the lease (`adopt.adoption`). If every model is complete
then, a warm, which has nothing to fetch, publishes the generation; else the report names the command that fetches the
rest.
"""

from pathlib import Path

from cache_warmer.adopt.adoption import Adoption
from cache_warmer.adopt.report import (
    AdoptReport,
    FoundPlace,
    ModelAdoption,
    bytes_by_method,
    to_lines,
    verdict,
)
from cache_warmer.adopt.scan import Findings, scan
from cache_warmer.commands.command import Invocation
from cache_warmer.commands.reporting import event_recorder
from cache_warmer.commands.warm import make_run
from cache_warmer.reports.warm_report import RunStats
from cache_warmer.settings import Settings
from cache_warmer.warm import WarmRun
from model_cache.check.types import Tier
from model_cache.cli.options import OutputFormat, warmer_command
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import best_effort
from model_cache.errors import UsageError, with_remedy
from model_cache.explanations import error_lines, with_help
from model_cache.json_values import to_json_text
from model_cache.layout import manifest_path
from model_cache.reasons import Reason


def add_adopt_arguments(parser: OptionParser) -> None:
    """Add the folder and --apply to a parser."""
    parser.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        help="the folder with models of another program; or a wheel, or a tar archive (required)",
    )
    parser.add_argument(
        "--apply", action="store_true", help="put what is listed into the cache (default: only list it)"
    )


def run_adopt(invocation: Invocation) -> int:
    """List or adopt what a folder has, print the report, and return the exit code.

    Raises:
        ModelCacheError: the options are wrong, the cache cannot be written, or another writer holds the lease.
    """
    given = invocation.arguments.folder
    if not given or "\x00" in given:
        raise UsageError("no folder given", "give the DIR with the models, a wheel, or a tar archive")
    settings, is_applied = invocation.settings(), bool(invocation.arguments.apply)
    run = _warm_run(invocation, settings)
    findings = scan(Path(given), run.places)
    adoption = Adoption(
        run.selection.models,
        run.selection.generation,
        run.selection.lock,
        run.places,
        run.sources,
        run.lease,
        run.reference,
        run.stop,
    )
    models = adoption.apply(findings) if is_applied else adoption.plan(findings)
    is_complete = all(model.reason is Reason.OK for model in models)
    if is_applied and is_complete:
        _warm_run(invocation, settings).run()
    name = run.selection.generation
    is_published = is_complete and manifest_path(run.places, name).exists()
    report = _make_report(given, findings, models, name, is_applied=is_applied, is_published=is_published)
    _print_report(invocation, settings, report, is_complete=is_complete)
    return report.reason.exit_code


def _warm_run(invocation: Invocation, settings: Settings) -> WarmRun:
    environ = invocation.environ
    return make_run(settings, environ, invocation.err, Tier.FAST, RunStats(), event_recorder(environ))


def _make_report(
    given: str,
    findings: Findings,
    models: tuple[ModelAdoption, ...],
    generation: str,
    *,
    is_applied: bool,
    is_published: bool,
) -> AdoptReport:
    reason, message, remedy = verdict(models, given, findings)
    return AdoptReport(
        reason,
        generation,
        given,
        is_applied,
        published=is_published,
        found=tuple(FoundPlace(one.layout, str(one.path), one.name) for one in findings.models),
        unreadable={str(path): why for path, why in findings.unreadable.items()},
        damaged={str(path): why for path, why in findings.damaged.items()},
        models=models,
        bytes=bytes_by_method(models),
        bytes_missing=sum(file.bytes or 0 for model in models for file in model.missing),
        message=message,
        remedy=remedy,
    )


def _print_report(
    invocation: Invocation, settings: Settings, report: AdoptReport, *, is_complete: bool
) -> None:
    if settings.options.format is OutputFormat.JSON:
        lines = [to_json_text(with_help(report))]
    else:
        lines = to_lines(report, _next_command(invocation, settings, report, is_complete=is_complete))
    shown = best_effort(invocation.out)  # the exit code states the result
    shown.writelines(f"{line}\n" for line in lines)
    shown.flush()
    if report.reason is not Reason.OK:
        error = f"{report.reason}: {with_remedy(report.message, report.remedy)}"
        invocation.err.write(error_lines("cache-warmer", error, report.reason))


def _next_command(
    invocation: Invocation, settings: Settings, report: AdoptReport, *, is_complete: bool
) -> str:
    """Return the command that completes the cache; empty if it is complete."""
    if not report.applied and any(model.adopted for model in report.models):
        return warmer_command(settings.options, {}, "--apply", report.folder, verb="adopt")
    return "" if is_complete else warmer_command(settings.options, invocation.environ)
