"""Write the result of a deep check to the volume, where workers and `cache-check` read it.

The format is that of `model_cache.check.deep_check_record`. A run writes it twice at most: after the check, with what
is bad, and after bad files were fetched again. If the run fails in between, what the check found stays. A failure to
write (a volume that is mounted read-only) is logged and does not fail the run: Events, log and exit code tell it too.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cache_warmer.disk import atomic
from model_cache.check.deep_check_record import TIME_FORMAT, DeepCheckRecord, dump_deep_check, findings_of
from model_cache.check.types import CheckReport, all_problems
from model_cache.errors import ModelCacheError
from model_cache.layout import deep_check_path

_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class DeepCheckFile:
    """The result of the deep check of one run.

    Attributes:
        holder: see `DeepCheckRecord`.
        now: returns the time, with a zone.
        on_found: called with the report of a check of the whole catalog that found something.
    """

    holder: str
    now: Callable[[], datetime]
    on_found: Callable[[CheckReport], None] = lambda _: None
    _written: DeepCheckRecord | None = None

    def record_found(self, report: CheckReport) -> None:
        """Write what a deep check of the whole catalog found, before anything is fetched again."""
        if all_problems(report):
            self.on_found(report)
        self._write(
            report,
            DeepCheckRecord(
                generation=report.generation,
                ended=self.now().astimezone(UTC).strftime(TIME_FORMAT),
                holder=self.holder,
                seconds=round(report.seconds, 3),
                files=report.files,
                bytes=report.bytes,
                bad_files=len(all_problems(report)),
                findings=findings_of(report),
            ),
        )

    def record_mended(self, report: CheckReport) -> None:
        """Write that all bad files of the report were fetched again."""
        former = self._written
        if former is None or not former.bad_files:
            return
        self._write(
            report,
            former._replace(
                ended=self.now().astimezone(UTC).strftime(TIME_FORMAT),
                bad_files=0,
                findings=(),
                mended_files=former.bad_files,
                mended=former.findings,
            ),
        )

    def _write(self, report: CheckReport, record: DeepCheckRecord) -> None:
        self._written = record
        path = deep_check_path(report.places, record.generation)
        try:
            atomic.write_file(path, dump_deep_check(record), report.places.boundary_of(path))
        except (OSError, ValueError, ModelCacheError) as error:
            _LOG.warning("the result of the deep check cannot be written, so no worker shows it: %s", error)
