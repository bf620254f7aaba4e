"""`cache-warmer import`: read an exported generation into the cache, from a file or from stdin.

The import itself is `archive.import_`. This module opens the archive, makes the run from the options, and reports how
it ended: on stdout, and in a cluster also as Events and as the termination message.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from cache_warmer.archive.format import ArchiveContents
from cache_warmer.archive.import_ import Importer, ImportResult
from cache_warmer.archive.tar import TarReader
from cache_warmer.commands.command import Invocation
from cache_warmer.commands.reporting import event_recorder, report_to_cluster, utc_now
from cache_warmer.disk.probe import write_probe
from cache_warmer.errors import NoPermission
from cache_warmer.kubernetes.events import IMPORTING, EventRecorder
from cache_warmer.kubernetes.pod import holder_identity
from cache_warmer.lease.select import select_lease
from cache_warmer.reference import reference_writer
from cache_warmer.reports.progress import ProgressCounter, show_progress
from cache_warmer.reports.status_file import StatusFile
from cache_warmer.reports.warm_report import WarmedModel, WarmReport
from cache_warmer.settings import Settings
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import Model, generation
from model_cache.catalog.lock import load_lock
from model_cache.cli.options import LogLevel, OutputFormat, symlinks_disabled
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import best_effort
from model_cache.errors import ModelCacheError, UsageError
from model_cache.formatting import human_bytes
from model_cache.json_values import to_json_text
from model_cache.manifest import ModelRecord
from model_cache.places import Places
from model_cache.reasons import Reason
from model_cache.record_rules import is_locked
from model_cache.warm_status import status_path

_LOG: Final = logging.getLogger(__name__)
STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """One model of the archive.

    Attributes:
        key, source, revision: As in the archive's catalog.
        files, bytes: Number and size of its files.
        compared_with: `lock`, or `archive` if the lock has not a hash of every file: then the archive's own hashes
            were compared, which prove no origin.
    """

    key: str
    source: str
    revision: str
    files: int
    bytes: int
    compared_with: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The document of `cache-warmer import --format json`.

    Attributes:
        reason: `OK`.
        generation: the generation of the archive.
        catalog_generation: the generation of `--catalog`; None if it cannot be read.
        bytes: size of the archive's files.
        files: number of files that the deep check at the end verified.
        bytes_written: Without the files that were in the cache already.
        files_written: the same.
        seconds: how long it took.
        models: the models, in the order of the archive.
    """

    reason: Reason
    generation: str
    catalog_generation: str | None
    bytes: int
    files: int
    bytes_written: int
    files_written: int
    seconds: float
    models: tuple[ImportedModel, ...]


def add_import_arguments(parser: OptionParser) -> None:
    """Add the archive to a parser."""
    parser.add_argument("archive", metavar="FILE", nargs="?", help="the archive; - for stdin (required)")


def run_import(
    invocation: Invocation, events: EventRecorder | None = None, termination_log: Path | None = None
) -> int:
    """Import an archive, report how that ended, and return the exit code.

    Args:
        invocation: the arguments, environment and streams.
        events: records Events; None: on the objects that the environment names.
        termination_log: where the termination message goes; None: the file in the settings.

    Raises:
        ModelCacheError: the options are wrong, or the import failed; its message begins with the archive's name.
    """
    settings = invocation.settings()
    if settings.options.models:
        raise UsageError(
            "an archive is imported whole, so --model has no effect", "leave --model (QDA_MODELS) out"
        )
    events = events or event_recorder(invocation.environ)
    with _open_archive(invocation.arguments.archive) as stream:
        run = _ImportRun(invocation, settings, stream)
        with report_to_cluster(events, termination_log or settings.termination_log, run.report, IMPORTING):
            imported = run.run()
    _print_report(
        invocation, _make_report(imported, _catalog_generation(settings), run.seconds, run.compared_with)
    )
    return Reason.OK.exit_code


@contextmanager
def _open_archive(archive: str | None) -> Iterator[BinaryIO]:
    if not archive or "\x00" in archive:
        raise UsageError("no archive given", "give its FILE, or - for stdin")
    if archive == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("the archive cannot be read from a terminal", "give its FILE, or redirect stdin")
        yield sys.stdin.buffer
        return
    path = Path(archive)
    if not path.exists():
        raise UsageError(f"there is no file {archive}", "give the file that `cache-warmer export -o` wrote")
    try:
        stream = path.open("rb")
    except OSError as error:
        remedy = "give a file that this user can read"
        raise NoPermission(f"{archive} cannot be read: {error.strerror}", remedy) from error
    with stream:  # outside the `try`: an error of the block is not one of opening
        yield stream


class _ImportRun:
    """One import, with the values that the final report needs, also after a failure."""

    def __init__(self, invocation: Invocation, settings: Settings, stream: BinaryIO) -> None:
        self._invocation, self._settings, self._stream = invocation, settings, stream
        self._start = time.monotonic()
        # Beside the catalog, or in the package. It is loaded even if the catalog cannot be: it decides what is refused.
        self._lock = load_lock(settings.options.catalog)
        self._contents: ArchiveContents | None = None
        self._bytes_written = 0

    @property
    def seconds(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self._start

    def run(self) -> ImportResult:
        """Import the archive.

        Raises:
            ModelCacheError: the import failed; the message begins with the archive's name.
        """
        try:
            imported = self._importer().run()
        except ModelCacheError as error:
            error.message = f"{self._invocation.arguments.archive}: {error.message}"
            raise
        self._bytes_written = imported.bytes_written
        return imported

    def report(self, error: ModelCacheError | None) -> WarmReport:
        """Return what was done so far; `error` None: the import succeeded."""
        reason = error.reason if error is not None else Reason.OK
        manifest = self._contents.manifest if self._contents is not None else None
        models = tuple(
            WarmedModel(
                one.key,
                reason,
                0,
                sum(file.bytes for file in one.files),
                len(one.files),
                self.compared_with(one),
            )
            for one in (manifest.models if manifest is not None else ())
        )
        name = manifest.generation if manifest is not None else ""
        return WarmReport(reason, name, self.seconds, models, error, bytes_written=self._bytes_written)

    def compared_with(self, record: ModelRecord) -> str:
        """Return with what the files of a model were compared: `lock` or `archive`."""
        models = self._contents.models if self._contents is not None else ()
        is_known = any(is_locked(record, model, self._lock) for model in models if model.key == record.key)
        return "lock" if is_known else "archive"

    def _importer(self) -> Importer:
        environ, settings = self._invocation.environ, self._settings
        places = settings.find_places(environ)
        stop, counter = Stop(), ProgressCounter()
        is_shown = settings.options.log_level in (LogLevel.DEBUG, LogLevel.INFO)

        def status_file(name: str) -> StatusFile:
            return StatusFile(status_path(places), name, holder_identity(environ), counter, utc_now)

        return Importer(
            reader=TarReader(self._stream),
            places=places,
            lease=select_lease(places, settings.wait, environ, stop, _LOG.info),
            artifact=settings.make_sources(places, None, environ).artifact,
            record_reference=_record_reference(settings, places, self._invocation),
            probe=write_probe,
            status=status_file,
            on_contents=self._set_contents,
            counter=counter,
            show_progress=partial(show_progress, out=self._invocation.err) if is_shown else None,
            lock=self._lock,
            links=not symlinks_disabled(environ),
        )

    def _set_contents(self, contents: ArchiveContents) -> None:
        self._contents = contents


def _record_reference(
    settings: Settings, places: Places, invocation: Invocation
) -> Callable[[str, Sequence[Model]], None] | None:
    """Return what records the reference of `--reference`; without that option an import records none."""
    if settings.reference is None:
        return None
    return reference_writer(
        settings.reference, settings.options.catalog, places, invocation.environ, utc_now
    ).record


def _catalog_generation(settings: Settings) -> str | None:
    """Return the generation of the catalog that the command was given; None if it cannot be read."""
    try:
        return generation(settings.load_catalog()[0].models)
    except ModelCacheError as error:
        _LOG.warning("the catalog cannot be compared with the imported generation: %s", error.message)
        return None


def _make_report(
    imported: ImportResult,
    catalog_generation: str | None,
    seconds: float,
    compared_with: Callable[[ModelRecord], str],
) -> ImportReport:
    records = {record.key: record for record in imported.contents.manifest.models}
    return ImportReport(
        Reason.OK,
        imported.contents.manifest.generation,
        catalog_generation,
        bytes=imported.contents.bytes,
        files=imported.report.files,
        bytes_written=imported.bytes_written,
        files_written=imported.files_written,
        seconds=round(seconds, 3),
        models=tuple(
            ImportedModel(
                model.key,
                model.source,
                model.revision,
                model.files,
                model.bytes,
                compared_with(records[model.key]),
            )
            for model in imported.report.models
        ),
    )


def _print_report(invocation: Invocation, report: ImportReport) -> None:
    if invocation.settings().options.format is OutputFormat.JSON:
        text = to_json_text(report)
    else:
        models = [
            f"{model.key}: {model.files} files, {human_bytes(model.bytes)}, verified, "
            f"compared with the {model.compared_with}"
            for model in report.models
        ]
        total = (
            f"OK: generation {report.generation[:12]}: {len(report.models)} models, {human_bytes(report.bytes)}, "
            f"{human_bytes(report.bytes_written)} written, {report.seconds:.1f} s"
        )
        text = "\n".join([*models, total])
    # The exit code states whether the generation was imported; a closed stdout does not change it.
    shown = best_effort(invocation.out)
    shown.write(f"{text}\n")
    shown.flush()
    if unknown := [model.key for model in report.models if model.compared_with != "lock"]:
        invocation.err.write(
            f"cache-warmer: note: no lock has a hash of every file of {', '.join(unknown)}: these were compared with "
            "the archive's own hashes, which prove no origin; give --catalog with its lock beside it\n"
        )
    if report.catalog_generation not in (None, report.generation):
        invocation.err.write(
            "cache-warmer: note: this is not the generation of the catalog given here "
            f"({str(report.catalog_generation)[:12]}): workers with that catalog need their own generation; give "
            "--catalog with the exported catalog to compare\n"
        )
