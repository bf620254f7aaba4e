"""Time and memory of `cache-warmer warm`, compared with a plain parallel copy of the same bytes from the same server.

    python -m benchmarks.warm [--gigabytes 1] [--files 1] [--runs 3] [--line 0] [--folder DIR]

Both speak HTTPS, as every real hub does, with a self-signed certificate that they get in SSL_CERT_FILE. Both run as
programs of their own, in turn, each twice into an empty folder of one file system, of which the second run counts;
both end when their bytes are on disk. The ratio is that of the medians of one run of this script: absolute times
depend on the machine and its other load. Without nginx the fake hub serves, which is slower than
either.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.file_server import find_nginx, serve_files
from cache_warmer.fetch import CONNECTIONS
from tests.support.fake_hub import Certificate, FakeHub, Repository, self_signed_certificate

_REPOSITORY: Final = "org/random"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; seconds are medians, memory is the highest of the runs."""

    gigabytes: float
    files: int
    runs: int
    megabytes_a_second_and_connection: int
    server: str
    warm_seconds: float
    copy_seconds: float
    ratio: float
    warm_cpu_seconds: float
    copy_cpu_seconds: float
    warm_megabytes_of_memory: int
    bytes_fetched: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a row as JSON; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--gigabytes", type=float, default=1.0, help="size of all files together in GB (default: %(default)s)"
    )
    parser.add_argument(
        "--files", type=int, default=1, help="number of files of equal size (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=int, default=3, help="number of measurements of each program (default: %(default)s)"
    )
    parser.add_argument(
        "--line", type=int, default=0, help="limit of each connection in MB per second; 0: none (the default)"
    )
    parser.add_argument(
        "--folder", type=Path, default=None, help="folder to write into (default: a temporary folder)"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        row = measure(Path(folder), int(options.gigabytes * 10**9), options.files, options.runs, options.line)
    print(json.dumps(asdict(row)))
    return 0


def measure(folder: Path, size: int, count: int, runs: int, line: int = 0) -> Row:
    """Copy and warm in turn, and return the row; the arguments are those of `run_programs`."""
    warm, copy, server = run_programs(folder, size, count, runs, line)
    warm_seconds, copy_seconds = (statistics.median(one.seconds for one in runs) for runs in (warm, copy))
    return Row(
        gigabytes=size / 10**9,
        files=count,
        runs=runs,
        megabytes_a_second_and_connection=line,
        server=server,
        warm_seconds=round(warm_seconds, 2),
        copy_seconds=round(copy_seconds, 2),
        ratio=round(warm_seconds / copy_seconds, 3),
        warm_cpu_seconds=round(statistics.median(one.cpu for one in warm), 2),
        copy_cpu_seconds=round(statistics.median(one.cpu for one in copy), 2),
        warm_megabytes_of_memory=max(one.memory for one in warm),
        bytes_fetched=json.loads(warm[-1].output)["bytes_fetched"],
    )


def run_programs(
    folder: Path, size: int, count: int, runs: int, line: int = 0
) -> tuple[list["ProgramRun"], list["ProgramRun"], str]:
    """Copy and warm in turn; return the runs of warm, those of the copy, and which program served.

    Args:
        folder: an empty folder; its file system is measured.
        size: bytes of all files together.
        count: number of files.
        runs: measurements of each program.
        line: limit of each connection in MB per second; 0 for none.
    """
    names = [f"model-{number:05}.safetensors" for number in range(count)]
    files = {name: folder / "served" / _REPOSITORY / name for name in names}
    for path in files.values():
        _write_random(path, size // count)
    repository = Repository(_REPOSITORY, files)
    certificate = self_signed_certificate(folder)
    with _serve(folder, repository, certificate, line) as (hub, storage, server):
        catalog = _write_catalog(folder, repository)
        urls = [f"{storage}/lfs/{repository.files[name].sha256}/{_REPOSITORY}/{name}" for name in names]
        copy_command = ["-m", "benchmarks.plain_copy", f"{folder}/copy", str(CONNECTIONS), *urls]
        warm_command = [
            *("-m", "cache_warmer", "warm", "--catalog", str(catalog), "--cache", f"{folder}/cache"),
            *("--hub", hub, "--quiet", "--format", "json"),
        ]
        warm, copy = [], []
        for _ in range(runs):
            copy.append(_run_twice(copy_command, folder / "copy", certificate))
            warm.append(_run_twice(warm_command, folder / "cache", certificate))
    return warm, copy, server


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """One run of a program: seconds, processor seconds, peak of memory in MB, and its stdout."""

    seconds: float
    cpu: float
    memory: int
    output: str


def _run_twice(arguments: list[str], target: Path, certificate: Certificate) -> ProgramRun:
    """Run a program twice and return the second run.

    The first run includes effects of the program before it: memory that the system must reclaim, modules that are not
    compiled. They can be as large as the difference that is measured.
    """
    _run([sys.executable, *arguments], certificate)
    shutil.rmtree(target)
    second = _run([sys.executable, *arguments], certificate)
    shutil.rmtree(target)
    return second


def _run(command: list[str], certificate: Certificate) -> ProgramRun:
    """Write all dirty pages to disk, then run a program and measure it."""
    os.sync()
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["SSL_CERT_FILE"] = str(certificate.certificate)
    with tempfile.TemporaryFile() as out:
        start = time.monotonic()
        process = os.posix_spawn(
            command[0], command, environ, file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)]
        )
        _, status, usage = os.wait4(process, 0)
        seconds = time.monotonic() - start
        out.seek(0)
        output = out.read().decode()
    if status:
        raise SystemExit(f"{command} ended with {os.waitstatus_to_exitcode(status)}: {output}")
    return ProgramRun(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 // 10**6, output)


@contextlib.contextmanager
def _serve(
    folder: Path, repository: Repository, certificate: Certificate, line: int
) -> Iterator[tuple[str, str, str]]:
    """Yield the address of the hub, that of the host of its bytes, and which program serves these."""
    if find_nginx() is None:
        with FakeHub([repository], tls=certificate) as hub:
            yield hub.url, hub.storage_url, "fake hub"
        return
    with (
        serve_files(folder / "served", folder / "nginx", certificate, line) as storage,
        FakeHub([repository], storage_listen=None, storage_url=storage, tls=certificate) as hub,
    ):
        yield hub.url, storage, "nginx"


def _write_random(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while size:
            size -= file.write(os.urandom(min(size, 1 << 24)))


def _write_catalog(folder: Path, repository: Repository) -> Path:
    source = {"repository": repository.id, "revision": repository.commit, "files": ["*.safetensors"]}
    model = {"key": "random", "task": "embedding", "huggingface": source}
    path = folder / "catalog.yaml"
    path.write_text(json.dumps({"apiVersion": "qda/v1", "kind": "Catalog", "models": [model]}))
    return path


if __name__ == "__main__":
    sys.exit(main())
