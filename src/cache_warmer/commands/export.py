"""`cache-warmer export`: write the catalog's generation as a tar archive, to a file or to stdout, or as an OCI image.

The export only reads the cache, so it takes no lease. A file appears under its name only when the archive is complete.
On stdout the archive is the only output: reports and errors go to stderr there, also with `--format json`, and a failed
export ends without the end mark of an archive, so that an import refuses it.

An image (`--format oci-image`) becomes a folder, or a tar archive of one if its name ends in `.tar`. That --format may
be given beside the format of the report.
"""

import argparse
import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

from cache_warmer.archive.export import Exporter
from cache_warmer.archive.format import ArchiveContents
from cache_warmer.archive.oci_image import write_image
from cache_warmer.archive.oci_layout import Layout, layout_archive, layout_folder
from cache_warmer.commands.command import Invocation
from cache_warmer.errors import Interrupted, NoPermission, NoSpace
from cache_warmer.reports.progress import ProgressCounter, show_progress
from model_cache.check.files import Remedies
from model_cache.cli.options import LogLevel, OutputFormat, warmer_command
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import EXIT_BROKEN_PIPE, Terminated
from model_cache.errors import NO_SPACE_ERRNOS, ModelCacheError, UsageError
from model_cache.explanations import error_lines
from model_cache.file_io import replacement
from model_cache.formatting import human_bytes
from model_cache.json_values import to_json_text
from model_cache.reasons import EXIT_TERMINATED, Reason
from model_cache.urls import shown_value

STDOUT: Final = "-"
OCI_IMAGE: Final = "oci-image"
_FREE_SPACE: Final = "free some space there, or write to another disk"

Write = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """One model of the archive."""

    key: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The document of `cache-warmer export --format json`; `output` is a file or `-`."""

    reason: Reason
    generation: str
    output: str
    bytes: int
    files: int
    seconds: float
    models: tuple[ExportedModel, ...]


@dataclass(frozen=True, slots=True)
class ImageReport(ExportReport):
    """The document of an exported image.

    Attributes:
        digest: of the image's index, as registries name it.
        layers: number of layers.
        image_bytes: size of the layers.
    """

    digest: str
    layers: int
    image_bytes: int


class FormatAction(argparse.Action):
    """Take `--format oci-image` beside the format of the report."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        changes = {
            "metavar": f"{kwargs['metavar']}|{OCI_IMAGE}",
            "help": f"{kwargs['help']}; {OCI_IMAGE}: write an OCI image instead of an archive, beside either",
        }
        super().__init__(*args, **{**kwargs, **changes})

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Record the value: the kind of the output, or the format of the report.

        Raises:
            UsageError: it is neither.
        """
        if values == OCI_IMAGE:
            namespace.oci_image = True
        elif values in list(OutputFormat):
            setattr(namespace, self.dest, values)
        else:
            raise UsageError(
                f'{option_string}: found "{shown_value(values)[:200]}"',
                f"give one of {', '.join([*OutputFormat, OCI_IMAGE])}",
            )


def add_export_arguments(parser: OptionParser) -> None:
    """Add --output to a parser."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="file for the archive, - for stdout; of an image: a .tar file, or a new folder (required)",
    )
    parser.set_defaults(oci_image=False)


def run_export(invocation: Invocation) -> int:
    """Write the archive and return the exit code.

    Raises:
        ModelCacheError: the export to a file failed. With `-o -` errors are printed here: the caller would print them
            on stdout, too.
    """
    output = invocation.arguments.output
    if not output or "\x00" in output:
        raise UsageError("no output given", "give -o FILE, or -o - for stdout")
    if invocation.arguments.oci_image:
        return _export_image(invocation, output)
    if output != STDOUT:
        return _export(invocation, output)
    try:
        return _export(invocation, output)
    except ModelCacheError as error:
        invocation.err.write(error_lines("cache-warmer", str(error), error.reason))
        return error.reason.exit_code
    except BrokenPipeError:
        invocation.err.write("cache-warmer: the reader of the archive closed the pipe\n")
        return EXIT_BROKEN_PIPE
    except (KeyboardInterrupt, Terminated) as signalled:
        stopped = Interrupted()
        invocation.err.write(error_lines("cache-warmer", str(stopped), stopped.reason))
        return EXIT_TERMINATED if isinstance(signalled, Terminated) else Reason.INTERRUPTED.exit_code


def _export(invocation: Invocation, output: str) -> int:
    start = time.monotonic()
    exporter = _make_exporter(invocation)
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(_open_output(output, invocation))
        contents = exporter.contents()
        if output != STDOUT:
            _require_space(Path(output), contents.bytes)
        stack.enter_context(_showing_progress(invocation, exporter.counter))
        exporter.write(contents, write)
    report = ExportReport(**_report_values(output, contents, start))
    _print_report(invocation, report, invocation.err if output == STDOUT else invocation.out)
    return Reason.OK.exit_code


def _export_image(invocation: Invocation, output: str) -> int:
    start = time.monotonic()
    exporter = _make_exporter(invocation)
    with contextlib.ExitStack() as stack:
        layout = stack.enter_context(_open_layout(output))
        contents = exporter.contents()
        _require_space(Path(output), contents.bytes)
        stack.enter_context(_showing_progress(invocation, exporter.counter))
        image = write_image(exporter, contents, layout)
    values = _report_values(output, contents, start)
    report = ImageReport(**values, digest=image.digest, layers=image.layers, image_bytes=image.bytes)
    _print_report(invocation, report, invocation.out)
    return Reason.OK.exit_code


def _make_exporter(invocation: Invocation) -> Exporter:
    settings, environ = invocation.settings(), invocation.environ
    options = settings.options
    catalog, lock = settings.load_catalog()
    return Exporter(
        catalog.select(options.models) if options.models else catalog.models,
        not options.models,
        settings.find_places(environ),
        Remedies(warmer_command(options, environ), warmer_command(options, environ, verb="repair")),
        ProgressCounter(),
        lock,
    )


def _showing_progress(invocation: Invocation, counter: ProgressCounter) -> AbstractContextManager[None]:
    if invocation.settings().options.log_level in (LogLevel.DEBUG, LogLevel.INFO):
        return show_progress(counter, out=invocation.err)
    return contextlib.nullcontext()


def _print_report(invocation: Invocation, report: ExportReport, out: TextIO) -> None:
    is_json = invocation.settings().options.format is OutputFormat.JSON
    print(to_json_text(report) if is_json else _to_line(report), file=out)


@contextmanager
def _open_layout(output: str) -> Iterator[Layout]:
    """Open the output of an image."""
    path = Path(output)
    is_archive = path.suffix == ".tar"
    if output == STDOUT or (path.exists() and not path.is_dir() and not (is_archive and path.is_file())):
        raise UsageError(f"-o: {output} cannot be an image", "give a name that ends in .tar, or a new folder")
    if path.is_dir() and (is_archive or any(path.iterdir())):
        raise UsageError(
            f"-o: {path} is a folder with files" if not is_archive else f"-o: {path} is a folder",
            "give the name of a new folder, or a file that ends in .tar",
        )
    try:
        with layout_archive(path) if is_archive else layout_folder(path) as layout:
            yield layout
    except OSError as error:
        raise _cannot_write(output, error) from error


@contextmanager
def _open_output(output: str, invocation: Invocation) -> Iterator[Write]:
    """Open the output and yield the function that writes to it."""
    if output == STDOUT:
        buffer = getattr(invocation.out, "buffer", None)
        if buffer is None or invocation.out.isatty():
            raise UsageError(
                "the archive cannot be written to a terminal", "give -o FILE, or redirect stdout"
            )
        yield _with_write_errors(buffer.write, "stdout")
        _flush(buffer, "stdout")
        return
    path = Path(output)
    if path.is_dir():
        raise UsageError(f"-o: {path} is a folder", "give a file in it")
    if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced by rename
        with path.open("wb") as stream:
            yield _with_write_errors(stream.write, output)
        return
    try:
        with replacement(path) as file:
            yield _with_write_errors(file.write, str(path))
    except OSError as error:
        raise _cannot_write(str(path), error) from error


def _with_write_errors(write: Write, name: str) -> Write:
    """Return a write that raises `ModelCacheError`, so that its failures differ from those of reading the cache."""

    def guarded(chunk: bytes) -> None:
        try:
            write(chunk)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _cannot_write(name, error) from error

    return guarded


def _flush(buffer: BinaryIO, name: str) -> None:
    try:
        buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _cannot_write(name, error) from error


def _cannot_write(name: str, error: OSError) -> ModelCacheError:
    if error.errno in NO_SPACE_ERRNOS:
        return NoSpace(f"{name}: {error.strerror}", _FREE_SPACE)
    return NoPermission(
        f"{name} cannot be written: {error.strerror}", "give a file in a folder that this user can write to"
    )


def _require_space(path: Path, count: int) -> None:
    """Raise `NoSpace` unless an archive of `count` bytes fits beside `path`; a device or pipe is not judged."""
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else count
    if free < count and (not path.exists() or path.is_file()):
        raise NoSpace(
            f"{path.parent}: the archive needs {human_bytes(count)}, {human_bytes(free)} are free",
            _FREE_SPACE,
        )


def _report_values(output: str, contents: ArchiveContents, start: float) -> dict[str, Any]:
    """Return the values of an `ExportReport`, by its fields."""
    return {
        "reason": Reason.OK,
        "generation": contents.manifest.generation,
        "output": output,
        "bytes": contents.bytes,
        "files": sum(1 for _ in contents.files()),
        "seconds": round(time.monotonic() - start, 3),
        "models": tuple(
            ExportedModel(record.key, len(record.files), sum(file.bytes for file in record.files))
            for record in contents.manifest.models
        ),
    }


def _to_line(report: ExportReport) -> str:
    where = "stdout" if report.output == STDOUT else report.output
    line = (
        f"OK: generation {report.generation[:12]}: {len(report.models)} models, {report.files} files, "
        f"{human_bytes(report.bytes)} written to {where} in {report.seconds:.1f} s"
    )
    if isinstance(report, ImageReport):
        line += f"\nimage {report.digest}, {report.layers} layers"
    return line
