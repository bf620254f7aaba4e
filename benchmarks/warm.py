"""`cache-warmer warm` against a plain parallel copy of the same bytes from the same server, and its memory.

    python -m benchmarks.warm [--gigabytes 1] [--files 1] [--runs 3] [--line 0] [--folder DIR]

Both run as programs of their own, in turn, each twice into an empty folder of one file system, of which the second is
counted; both end when their bytes are on disk. The ratio is of the medians of one run of this script: times alone mean
nothing on another machine, or on one that does something else. Without nginx the double of the hub serves, which is
slower than either.
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

from benchmarks.file_server import nginx, serving
from cache_warmer.fetch import CONNECTIONS
from tests.support.fake_hub import HubDouble, Repository

_NAME: Final = "org/random"


@dataclass(frozen=True)
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
    parser.add_argument("--gigabytes", type=float, default=1.0, help="size of all files together")
    parser.add_argument("--files", type=int, default=1, help="into how many files of one size")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--line", type=int, default=0, help="MB a second that each connection gets (0: all)")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where to write; its file system is measured"
    )
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.folder) as folder:
        row = measure(Path(folder), int(chosen.gigabytes * 10**9), chosen.files, chosen.runs, chosen.line)
    print(json.dumps(asdict(row)))
    return 0


def measure(folder: Path, size: int, count: int, runs: int, line: int = 0) -> Row:
    """Copy and warm in turn; return the row."""
    names = [f"model-{number:05}.safetensors" for number in range(count)]
    files = {name: folder / "served" / _NAME / name for name in names}
    for path in files.values():
        _write_random(path, size // count)
    repository = Repository(_NAME, files)
    with _served(folder, repository, line) as (hub, storage, server):
        catalog = _write_catalog(folder, repository)
        urls = [f"{storage}/lfs/{repository.files[name].sha256}/{_NAME}/{name}" for name in names]
        plain = ["-m", "benchmarks.plain_copy", f"{folder}/copy", str(CONNECTIONS), *urls]
        ours = ["-m", "cache_warmer", "warm", "--catalog", str(catalog), "--cache", f"{folder}/cache"]
        ours += ["--hub", hub, "--quiet", "--format", "json"]
        warm, copy = [], []
        for _ in range(runs):
            copy.append(_second(plain, folder / "copy"))
            warm.append(_second(ours, folder / "cache"))
        fetched = json.loads(warm[-1].output)["bytes_fetched"]
    middle, other = (statistics.median(one.seconds for one in ended) for ended in (warm, copy))
    return Row(
        gigabytes=size / 10**9,
        files=count,
        runs=runs,
        megabytes_a_second_and_connection=line,
        server=server,
        warm_seconds=round(middle, 2),
        copy_seconds=round(other, 2),
        ratio=round(middle / other, 3),
        warm_cpu_seconds=round(statistics.median(one.cpu for one in warm), 2),
        copy_cpu_seconds=round(statistics.median(one.cpu for one in copy), 2),
        warm_megabytes_of_memory=max(one.memory for one in warm),
        bytes_fetched=fetched,
    )


@dataclass(frozen=True)
class _Ended:
    seconds: float
    cpu: float
    memory: int
    output: str


def _second(arguments: list[str], written: Path) -> _Ended:
    """Run a program twice and return how the second run went.

    The first of a kind pays for what another program left: memory that the system has to find, modules that are not
    compiled. That would be as much as what is measured here.
    """
    _timed([sys.executable, *arguments])
    shutil.rmtree(written)
    ended = _timed([sys.executable, *arguments])
    shutil.rmtree(written)
    return ended


def _timed(command: list[str]) -> _Ended:
    """Run a program with nothing left to write from before; its time in seconds, its peak of memory in MB."""
    os.sync()
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
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
    return _Ended(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 // 10**6, output)


@contextlib.contextmanager
def _served(folder: Path, repository: Repository, line: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yield the hub's address, that of the host of its bytes, and what serves these."""
    if nginx() is None:
        with HubDouble([repository]) as hub:
            yield hub.url, hub.storage_url, "hub double"
        return
    with (
        serving(folder / "served", folder / "nginx", line) as storage,
        HubDouble([repository], storage_listen=None, storage_url=storage) as hub,
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
