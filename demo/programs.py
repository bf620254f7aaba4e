"""Run the project's programs as a user would: by their names, as processes of their own, with a clean environment."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# Prefixes of variables that would change what the programs do. Proxies are removed too: everything runs on this
# machine.
_REMOVED_PREFIXES: Final = ("HF_", "HUGGING", "QDA_", "SENTENCE_TRANSFORMERS_", "TRANSFORMERS_")
_STOP_SECONDS: Final = 40.0  # that a program may take to end after SIGTERM
_TAIL_LINES: Final = 20  # of a log, in the message of a failure


class DemoFailed(Exception):
    """A step failed; the message names the program and contains its last output."""


@contextmanager
def section(title: str) -> Iterator[None]:
    """Print a headline before a step, and the seconds that it took after it."""
    print(f"\n{title}\n{'-' * len(title)}", flush=True)
    began = time.perf_counter()
    yield
    print(f"({time.perf_counter() - began:.1f} s)", flush=True)


def run_program(name: str, *arguments: str, show: bool = True) -> str:
    """Print and run one of the project's commands, and return its stdout.

    Args:
        name: of the program.
        arguments: of the command line.
        show: whether to print its stdout.

    Raises:
        DemoFailed: the exit code is not 0.
    """
    print(f"$ {shlex.join([name, *arguments])}", flush=True)
    done = subprocess.run(
        [_installed(name), *arguments], env=environment(), stdout=subprocess.PIPE, text=True, check=False
    )
    if show or done.returncode:
        print(done.stdout, end="", flush=True)
    if done.returncode:
        raise DemoFailed(
            f"{name} {arguments[0]} ended with exit code {done.returncode}; its message is above"
        )
    return done.stdout


@contextmanager
def running(name: str, command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program while the block runs: stdout is a pipe, stderr goes to `log`, and SIGTERM stops it at the end.

    Raises:
        DemoFailed: it does not stop with exit code 0.
    """
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        yield process
    except BaseException:
        process.kill()
        process.communicate()
        raise
    end(name, process, log)


def end(name: str, process: subprocess.Popen[str], log: Path) -> None:
    """Stop a program with SIGTERM and wait for its end.

    Raises:
        DemoFailed: it takes too long, or its exit code is not 0.
    """
    process.terminate()
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise DemoFailed(f"{name} did not end within {_STOP_SECONDS:.0f} s of SIGTERM: {tail(log)}") from None
    if process.returncode:
        raise DemoFailed(f"{name} ended with exit code {process.returncode}: {tail(log)}")


def installed_command(name: str, *arguments: str) -> list[str]:
    """Print and return the command line of one of the project's commands."""
    print(f"$ {shlex.join([name, *arguments])}", flush=True)
    return [_installed(name), *arguments]


def tail(log: Path) -> str:
    """Return the last lines of a log, with its path."""
    lines = log.read_text("utf-8", "replace").splitlines()[-_TAIL_LINES:]
    return "\n".join([f"the end of {log}:", *lines])


def environment() -> dict[str, str]:
    """Return the environment of this process without the variables that would change what the programs do."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_REMOVED_PREFIXES) and not name.upper().endswith("_PROXY")
    }


def _installed(name: str) -> str:
    command = Path(sys.executable).with_name(name)
    if not command.exists():
        raise DemoFailed(
            f"{name} is not installed beside {sys.executable}: run `make demo`, which installs it"
        )
    return str(command)
