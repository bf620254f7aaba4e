"""`cache-check`: says whether the cache holds what the catalog wants. Reads only.

It runs in probes and by `kubectl exec`, so it must answer within a tenth of a second: nothing is imported
here that a fast check does not use.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, NoReturn, TextIO

from model_cache.catalog.catalog import Model, generation
from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.files import Remedies
from model_cache.check.notes import notes
from model_cache.check.report import paths_table, to_json, to_table, verdict
from model_cache.check.types import CheckReport, Progress, Tier
from model_cache.cli.options import (
    LogLevel,
    Option,
    Options,
    OutputFormat,
    above_zero,
    add_shared_options,
    find_places,
    read_shared_options,
    warm_command,
)
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import run
from model_cache.places import Places
from model_cache.reasons import Reason

PROGRAM: Final = "cache-check"
LOAD_TIMEOUT: Final = Option(
    "--load-timeout", "QDA_LOAD_TIMEOUT", above_zero, 600.0, "TIME", "for each model of --load", "10m"
)
_EPILOG: Final = """exit codes: 0 complete; 2 wrong options; 3 catalog invalid; 10 something is missing; 11 something
is corrupt; 12 a model does not load or answers otherwise; 31 something cannot be read. Corrupt beats missing."""


def main() -> NoReturn:
    """Run `cache-check` with this process's arguments and exit."""
    run(cache_check, name=PROGRAM)


def cache_check(
    argv: Sequence[str],
    environ: Mapping[str, str] = os.environ,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Check the cache, print the report and return the exit code. Raises `ModelCacheError`."""
    arguments = _parser().parse_args(argv)
    options = read_shared_options(arguments, environ)
    wanted = _wanted(options)
    report = _report(
        options, wanted, environ, Tier.DEEP if arguments.deep else Tier.FAST, stderr or sys.stderr
    )
    if arguments.load or arguments.record is not None:
        from model_cache.check.load import report_by_loading  # here: other tiers must not pay for it

        timeout = LOAD_TIMEOUT.value(arguments, environ)
        report = report_by_loading(
            report, wanted.models, options, environ, timeout, arguments.record, stderr or sys.stderr
        )
    out = stdout or sys.stdout
    if options.format is OutputFormat.JSON:
        print(json.dumps(to_json(report), indent=2, ensure_ascii=False), file=out)
    elif arguments.paths:
        print(paths_table(report), file=out)
        if report.reason is not Reason.OK:
            print(f"{PROGRAM}: {verdict(report)}", file=stderr or sys.stderr)
    else:
        print(to_table(report), file=out)
    return report.reason.exit_code


class _Wanted(NamedTuple):
    models: tuple[Model, ...]
    generation: str


def _wanted(options: Options) -> _Wanted:
    catalog = load_catalog(options.catalog)
    models = catalog.select(options.models) if options.models else catalog.models
    return _Wanted(models, generation(catalog.models))


def _report(
    options: Options, wanted: _Wanted, environ: Mapping[str, str], tier: Tier, stderr: TextIO
) -> CheckReport:
    models = wanted.models
    show = tier is Tier.DEEP and options.log_level in (LogLevel.DEBUG, LogLevel.INFO)
    places = find_places(options.cache, environ)
    report = check(
        models,
        places,
        tier,
        whole_catalog=not options.models,
        generation=wanted.generation,
        progress=_progress(stderr) if show else None,
        remedies=Remedies(warm_command(options, environ), warm_command(options, environ, verb="repair")),
    )
    said = notes(models, places, environ)
    if report.reason is not Reason.OK:
        said += _about_a_warm(places)
    report = report._replace(notes=said)
    if tier is Tier.DEEP:
        from model_cache.check.deep import unlisted  # here: the fast tier must not pay for it

        report = report._replace(unlisted=unlisted(places))
    return report


def _about_a_warm(places: Places) -> tuple[str, ...]:
    """Return what a warm that goes on says: for whoever waits that is more than what is missing."""
    from datetime import UTC, datetime  # here: a complete cache must not pay for it

    from model_cache.warm_status import warm_note

    note = warm_note(places, datetime.now(UTC))
    return (note,) if note else ()


def _progress(stderr: TextIO) -> Progress:
    from model_cache.check.progress import progress_to  # here: the fast tier shows none

    return progress_to(stderr, PROGRAM)


def _parser() -> OptionParser:
    parser = OptionParser(
        prog=PROGRAM,
        description="Compare the cache with what the catalog needs: names, links and sizes of all files.",
        epilog=_EPILOG,
    )
    add_shared_options(parser)
    parser.add_argument("--deep", action="store_true", help="also read every file and compare its sha256")
    parser.add_argument(
        "--load",
        action="store_true",
        help="also load each model and compare its answers with those in the lock",
    )
    parser.add_argument(
        "--record", metavar="FILE", help="load each model and write its answers into this lock instead"
    )
    LOAD_TIMEOUT.add_to(parser)
    parser.add_argument("--paths", action="store_true", help="list each model's folder instead of the table")
    parser.add_version()
    return parser


if __name__ == "__main__":
    main()
