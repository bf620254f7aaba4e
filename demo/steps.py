"""The steps of the demo that run programs: hub, warmer, check and worker."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from demo.programs import DemoFailed, installed_command, run_program, running, tail
from qda_worker.client import Client

_READY_SECONDS: Final = 180.0  # until the worker has loaded all models
_WRITABLE: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH

Options = Sequence[str]


def empty(cache: Path) -> None:
    """Delete the cache of an earlier demo, which may be read-only because the demo was interrupted."""
    if cache.exists():
        _set_writable(cache, True)
        shutil.rmtree(cache)


@contextmanager
def hub(root: Path, log: Path) -> Iterator[str]:
    """Run the fake hub while the block runs and yield its address. The hub client is not modified for it."""
    command = [sys.executable, "-m", "tests.support.fake_hub", "--root", str(root)]
    listen = ["--listen", "127.0.0.1:0", "--second-listen", "127.0.0.1:0"]
    with running("the hub", [*command, *listen], log) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if len(words) < 2 or words[0] != "hub":
            raise DemoFailed(f"the hub did not start: {tail(log)}")
        print(
            f"The fake hub serves them at {words[1]} (large files from a second host, as the real hub does)."
        )
        yield words[1]


def warm(hub: str, options: Options) -> None:
    """Plan, warm, and warm again; the second warm must fetch nothing."""
    sources = ("--hub", hub, "--wheel-base", f"{hub}/wheels")
    run_program("cache-warmer", "plan", *options, *sources)
    run_program("cache-warmer", "warm", *options, *sources)
    began = time.perf_counter()
    again = run_program("cache-warmer", "warm", *options, *sources, "--quiet", "--format", "json", show=False)
    fetched = json.loads(again)["bytes_fetched"]
    if fetched:
        raise DemoFailed(f"the second warm fetched {fetched} bytes although the cache was complete")
    print(f"The second warm fetched nothing ({time.perf_counter() - began:.2f} s).")


def fill(root: Path, log: Path, options: Options) -> None:
    """Fill a cache from the fake hub."""
    with hub(root, log) as address:
        run_program("cache-warmer", "warm", *options, "--hub", address, "--wheel-base", f"{address}/wheels")


def cache_check(options: Options) -> None:
    """Run the fast check, then hash every file."""
    run_program("cache-check", *options)
    deep = run_program("cache-check", *options, "--deep", show=False)
    print(deep.rstrip().rpartition("\n")[2])


@contextmanager
def read_only(cache: Path) -> Iterator[int]:
    """Make the cache read-only while the block runs; yield the number of its files.

    File modes do not apply to root, so the files are also compared before and after.

    Raises:
        DemoFailed: a file was changed.
    """
    _set_writable(cache, False)
    before = _files(cache)
    note = (
        "writing fails"
        if not os.access(cache, os.W_OK)
        else "modes do not apply to root, so the files are compared afterwards"
    )
    print(f"Every file and folder of the cache is read-only now ({note}).")
    try:
        yield len(before)
        changed = before.items() ^ _files(cache).items()
        if changed:
            names = ", ".join(sorted({name for name, _ in changed})[:5])
            raise DemoFailed(f"the worker changed its cache: {names}")
    finally:
        _set_writable(cache, True)


@contextmanager
def worker(options: Options, log: Path) -> Iterator[Client]:
    """Run a worker on a free port while the block runs and yield a client once it is SERVING.

    Raises:
        DemoFailed: the worker does not start or stop.
        ClientError: it does not become ready.
    """
    port_file = log.with_suffix(".port")
    listen = ("--no-fetch", "--listen", "127.0.0.1:0", "--port-file", str(port_file), "--drain-delay", "0")
    began = time.perf_counter()
    with running("qda-worker", installed_command("qda-worker", "serve", *options, *listen), log) as process:
        target = f"127.0.0.1:{_port(port_file, process, log)}"
        print(f"The worker listens on {target} after {time.perf_counter() - began:.1f} s.", flush=True)
        with Client(target) as client:
            client.wait_ready(_READY_SECONDS)
            print(f"It is SERVING after {time.perf_counter() - began:.1f} s.")
            yield client


def report(client: Client, interview: Path, page: Path, *, threshold: float) -> None:
    """Write the report of the interview.

    Raises:
        DemoFailed: the program fails.
    """
    options = ("--output", str(page), "--overwrite", "--title", "Interviews in der Pflege")
    target = ("--target", client.settings.target, "--threshold", str(threshold))
    run_program("qda-client", "report", str(interview), *options, *target)


def _port(file: Path, process: subprocess.Popen[str], log: Path) -> int:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError, ValueError):  # not written yet, or not to its end
            return int(file.read_text())
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise DemoFailed(f"the worker did not listen: {tail(log)}")


def _set_writable(cache: Path, writable: bool) -> None:
    for folder, _, files in os.walk(cache):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | stat.S_IWUSR if writable else mode & ~_WRITABLE)


def _files(cache: Path) -> dict[str, tuple[int, int]]:
    found = (path for path in cache.rglob("*") if not path.is_dir())
    return {
        path.relative_to(cache).as_posix(): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in found
    }
