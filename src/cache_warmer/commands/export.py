"""`cache-warmer export`: writes the catalog's generation as a tar stream, to a file or to stdout."""

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from cache_warmer.archive.export import Exporting
from cache_warmer.archive.format import Contents
from cache_warmer.commands.command import Invocation
from cache_warmer.errors import Interrupted, NoPermission, NoSpace
from cache_warmer.reports import progress
from model_cache.check.files import Remedies
from model_cache.check.report import human_bytes
from model_cache.cli.options import LogLevel, OutputFormat, warm_command
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import EXIT_BROKEN_PIPE, Terminated
from model_cache.errors import ModelCacheError, UsageError
from model_cache.reasons import EXIT_TERMINATED, Reason

STDOUT: Final = "-"
_ROOM: Final = "free some space there, or write to another disk"
Write = Callable[[bytes], object]


def add_export_switches(parser: OptionParser) -> None:
    """Let a parser accept --output."""
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write the archive; - is stdout (required)"
    )


def export_command(called: Invocation) -> int:
    """Export, and return the exit code. Raises `ModelCacheError`, unless stdout is the archive's alone."""
    output = called.arguments.output
    if not output or "\x00" in output:
        raise UsageError("no output given", "give -o FILE, or -o - for stdout")
    if output != STDOUT:
        return _export(called, output)
    try:
        return _export(called, output)
    except ModelCacheError as error:  # the program's edge would say it on stdout too, with --format json
        called.err.write(f"cache-warmer: {error}\n")
        return error.reason.exit_code
    except BrokenPipeError:
        called.err.write("cache-warmer: the reader of the archive went away\n")
        return EXIT_BROKEN_PIPE
    except (KeyboardInterrupt, Terminated) as signalled:
        called.err.write(f"cache-warmer: {Interrupted()}\n")
        return EXIT_TERMINATED if isinstance(signalled, Terminated) else Reason.INTERRUPTED.exit_code


def _export(called: Invocation, output: str) -> int:
    start = time.monotonic()
    settings = called.settings()
    options = settings.options
    catalog, _ = settings.catalog()
    places = settings.places(called.environ)
    counter = progress.Counter()
    exporting = Exporting(
        catalog.select(options.models) if options.models else catalog.models,
        not options.models,
        places,
        Remedies(warm_command(options, called.environ), warm_command(options, called.environ, verb="repair")),
        counter,
    )
    with contextlib.ExitStack() as open_things:
        write = open_things.enter_context(_opened(output, called))
        contents = exporting.contents()
        if output != STDOUT:
            _demand_room(Path(output), contents.bytes)
        if options.log_level in (LogLevel.DEBUG, LogLevel.INFO):
            open_things.enter_context(progress.shown(counter, out=called.err))
        exporting.write(contents, write)
    _report(called, output, contents, time.monotonic() - start)
    return Reason.OK.exit_code


@contextmanager
def _opened(output: str, called: Invocation) -> Iterator[Write]:
    """Open where the archive goes. A file appears under its name when it is whole."""
    if output == STDOUT:
        buffer = getattr(called.out, "buffer", None)
        if buffer is None or called.out.isatty():
            raise UsageError("an archive is not for a terminal", "give -o FILE, or redirect stdout")
        yield _guarded(buffer.write, "stdout")
        _flush(buffer, "stdout")
        return
    path = Path(output)
    if path.is_dir():
        raise UsageError(f"-o: {path} is a folder", "give a file in it")
    if path.exists() and not path.is_file():  # a device or a pipe: nothing to rename there
        with path.open("wb") as stream:
            yield _guarded(stream.write, output)
        return
    with _whole_file(path) as write:
        yield write


@contextmanager
def _whole_file(path: Path) -> Iterator[Write]:
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            write = _guarded(stream.write, str(path))
            yield write
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise _cannot_write(str(path), error) from error
        raise


def _guarded(write: Write, name: str) -> Write:
    """Return a write whose failures are told apart from those of reading the cache."""

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
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoSpace(f"{name}: {error.strerror}", _ROOM)
    return NoPermission(
        f"{name} cannot be written: {error.strerror}", "give a file in a folder that this user can write to"
    )


def _demand_room(path: Path, count: int) -> None:
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else count
    if free < count and (not path.exists() or path.is_file()):
        raise NoSpace(
            f"{path.parent}: the archive has {human_bytes(count)}, {human_bytes(free)} are free", _ROOM
        )


def _report(called: Invocation, output: str, contents: Contents, seconds: float) -> None:
    """Say what was written: on stdout, or on stderr where stdout is the archive."""
    files = sum(1 for _ in contents.files())
    stream = called.err if output == STDOUT else called.out
    if called.settings().options.format is OutputFormat.JSON:
        document = {
            "reason": str(Reason.OK),
            "generation": contents.manifest.generation,
            "output": output,
            "bytes": contents.bytes,
            "files": files,
            "seconds": round(seconds, 3),
            "models": [
                {
                    "key": record.key,
                    "files": len(record.files),
                    "bytes": sum(file.bytes for file in record.files),
                }
                for record in contents.manifest.models
            ],
        }
        stream.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return
    where = "stdout" if output == STDOUT else output
    stream.write(
        f"OK: generation {contents.manifest.generation[:12]}: {len(contents.models)} models, {files} files, "
        f"{human_bytes(contents.bytes)} written to {where} in {seconds:.1f} s\n"
    )
