"""`cache-warmer import`: reads an exported generation into the cache, from a file or from stdin."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from cache_warmer.archive.format import Contents
from cache_warmer.archive.import_ import Imported, Importing
from cache_warmer.archive.tar import TarReader
from cache_warmer.commands.command import Invocation
from cache_warmer.commands.reporting import told
from cache_warmer.disk.preflight import write_probe
from cache_warmer.errors import NoPermission
from cache_warmer.kubernetes import client
from cache_warmer.kubernetes.events import IMPORTING, EventRecorder, holder_identity, own_objects
from cache_warmer.lease.select import lease_for
from cache_warmer.reference import referring
from cache_warmer.reports import progress
from cache_warmer.reports.status_file import StatusFile
from cache_warmer.reports.warm_report import WarmedModel, WarmReport
from cache_warmer.settings import Settings
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import Model, generation
from model_cache.check.report import human_bytes
from model_cache.cli.options import LogLevel, OutputFormat
from model_cache.cli.parser import OptionParser
from model_cache.errors import ModelCacheError, UsageError
from model_cache.places import Places
from model_cache.reasons import Reason
from model_cache.warm_status import status_path

_LOG: Final = logging.getLogger(__name__)
STDIN: Final = "-"


def add_import_arguments(parser: OptionParser) -> None:
    """Let a parser accept the archive."""
    parser.add_argument("archive", metavar="FILE", nargs="?", help="the archive; - is stdin")


def import_command(
    called: Invocation, announcer: EventRecorder | None = None, last_words: Path | None = None
) -> int:
    """Import, tell the cluster, and return the exit code. Raises `ModelCacheError`."""
    settings = called.settings()
    if settings.options.models:
        raise UsageError(
            "an archive is imported whole, so --model has no effect", "leave --model (QDA_MODELS) out"
        )
    announcer = announcer or EventRecorder(
        own_objects(called.environ), client.connect, lambda: datetime.now(UTC)
    )
    with _opened(called.arguments.archive) as stream:
        run = _Run(called, settings, stream)
        with told(announcer, last_words or settings.termination_log, run.report, IMPORTING):
            imported = run.read()
    _report(called, imported, _configured(settings), run.seconds)
    return Reason.OK.exit_code


class _Run:
    """One import, from the first byte of the archive on."""

    def __init__(self, called: Invocation, settings: Settings, stream: BinaryIO) -> None:
        self._called, self._settings, self._stream = called, settings, stream
        self._start = time.monotonic()
        self._contents: Contents | None = None
        self._written = 0

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._start

    def read(self) -> Imported:
        """Import. Raises `ModelCacheError`, whose message begins with the archive's name."""
        try:
            imported = self._importing().run()
        except ModelCacheError as error:
            error.message = f"{self._called.arguments.archive}: {error.message}"
            raise
        self._written = imported.bytes_written
        return imported

    def report(self, error: ModelCacheError | None) -> WarmReport:
        """Return what was done until now."""
        reason = error.reason if error is not None else Reason.OK
        manifest = self._contents.manifest if self._contents is not None else None
        models = tuple(
            WarmedModel(one.key, reason, 0, sum(file.bytes for file in one.files), len(one.files), "archive")
            for one in (manifest.models if manifest is not None else ())
        )
        name = manifest.generation if manifest is not None else ""
        return WarmReport(reason, name, self.seconds, models, error, written=self._written)

    def _know(self, contents: Contents) -> None:
        self._contents = contents

    def _importing(self) -> Importing:
        called, settings = self._called, self._settings
        places = settings.places(called.environ)
        stop, counter = Stop(), progress.Counter()
        shows = settings.options.log_level in (LogLevel.DEBUG, LogLevel.INFO)

        def status(name: str) -> StatusFile:
            who = holder_identity(called.environ)
            return StatusFile(status_path(places), name, who, counter, lambda: datetime.now(UTC))

        return Importing(
            reader=TarReader(self._stream),
            places=places,
            lease=lease_for(places, settings.wait, called.environ, stop, _LOG.info),
            artifact=settings.sources(places, None, called.environ, settings.retry).artifact,
            refer=_refer(settings, places, called),
            probe=write_probe,
            status=status,
            known=self._know,
            counter=counter,
            showing=partial(progress.shown, out=called.err) if shows else None,
        )


def _refer(
    settings: Settings, places: Places, called: Invocation
) -> Callable[[str, Sequence[Model]], None] | None:
    if settings.reference is None:
        return None
    return referring(
        settings.reference, settings.options.catalog, places, called.environ, lambda: datetime.now(UTC)
    ).record


@contextmanager
def _opened(archive: str | None) -> Iterator[BinaryIO]:
    if not archive or "\x00" in archive:
        raise UsageError("no archive given", "give its FILE, or - for stdin")
    if archive == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("an archive is not typed", "give its FILE, or redirect stdin")
        yield sys.stdin.buffer
        return
    path = Path(archive)
    if not path.exists():
        raise UsageError(f"there is no file {archive}", "give the file that `cache-warmer export -o` wrote")
    try:
        stream = path.open("rb")  # closed below; only opening it is to be told apart
    except OSError as error:
        remedy = "give a file that this user can read"
        raise NoPermission(f"{archive} cannot be read: {error.strerror}", remedy) from error
    with stream:
        yield stream


def _configured(settings: Settings) -> str:
    """Return the generation of the catalog that this cache is used with; empty if that cannot be read."""
    try:
        return generation(settings.catalog()[0].models)
    except ModelCacheError as error:
        _LOG.warning("the catalog cannot be compared with what was imported: %s", error.message)
        return ""


def _report(called: Invocation, imported: Imported, configured: str, seconds: float) -> None:
    contents = imported.contents
    name = contents.manifest.generation
    if called.settings().options.format is OutputFormat.JSON:
        document = {
            "reason": str(Reason.OK),
            "generation": name,
            "catalog_generation": configured or None,
            "bytes": contents.bytes,
            "files": imported.report.files,
            "bytes_written": imported.bytes_written,
            "files_written": imported.files_written,
            "seconds": round(seconds, 3),
            "models": [
                {"key": model.key, "source": model.source, "revision": model.revision, "files": model.files,
                 "bytes": model.bytes}
                for model in imported.report.models
            ],
        }  # fmt: skip
        called.out.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        for model in imported.report.models:
            called.out.write(f"{model.key}: {model.files} files, {human_bytes(model.bytes)}, verified\n")
        called.out.write(
            f"OK: generation {name[:12]}: {len(contents.models)} models, {human_bytes(contents.bytes)}, "
            f"{human_bytes(imported.bytes_written)} written, {seconds:.1f} s\n"
        )
    if configured and configured != name:
        called.err.write(
            f"cache-warmer: note: this is not the generation of the catalog given here ({configured[:12]}): workers "
            "with that one need their own; give --catalog with the catalog that was exported to compare\n"
        )
