"""``cache-check --load`` and ``--record``: loads what the check found whole, and reads or writes the lock's answers."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from model_cache.catalogs.answers import Question
from model_cache.catalogs.catalog import Model
from model_cache.catalogs.lock import load_lock
from model_cache.checking.load import Probed, check_by_loading
from model_cache.checking.load_child import probe_in_child
from model_cache.checking.record_answers import record_answers
from model_cache.checking.values import CheckReport
from model_cache.programs.options import LogLevel, Options
from model_cache.reasons import Reason


def report_by_loading(
    report: CheckReport,
    models: Sequence[Model],
    options: Options,
    environ: Mapping[str, str],
    timeout: float,
    record: str | None,
    stderr: TextIO,
) -> CheckReport:
    """Return the report with what loading adds. Raises ``UsageError``, ``LockInvalid``, ``CacheUnreadable``."""
    lock = None if record is not None else load_lock(options.catalog)
    load = probe_in_child(options.catalog, report.places, environ, timeout)
    tells = options.log_level in (LogLevel.DEBUG, LogLevel.INFO)

    def probe(model: Model, questions: Sequence[Question]) -> Probed:
        if tells:
            print(f"cache-check: loading {model.key}", file=stderr, flush=True)
        return load(model, questions)

    began = time.perf_counter()
    loads = check_by_loading(report, models, lock, probe, record=record is not None)
    report = loads.report._replace(seconds=loads.report.seconds + time.perf_counter() - began)
    if record is None:
        return report
    if report.reason is not Reason.OK:
        note = f"nothing was recorded in {record}: not every model is well"
    else:
        record_answers(Path(record), models, loads.answers)
        note = f"{sum(map(len, loads.answers.values()))} answers were recorded in {record}"
    return report._replace(notes=(*report.notes, note))
