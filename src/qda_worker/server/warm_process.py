"""Run `cache-warmer warm` as a child process to fill the cache before serving (`--fetch`).

The worker itself never downloads and never writes to the cache. The warmer does, in a process without torch and with
the environment that the worker was started with: the worker sets the offline variables in its own environment only.

The child's stdin is a pipe from this process. When this process dies, even by SIGKILL, the pipe closes and the warmer
ends (`--end-with-stdin`). When this process stops, the child receives SIGTERM and has `_STOP_SECONDS` to save its
state for the next run; then it is killed. What the warmer prints goes to this process's stderr.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from model_cache.cli import options
from model_cache.cli.options import LogLevel
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from qda_worker.settings import ServeSettings

# Seconds after SIGTERM until the warmer is killed.
_STOP_SECONDS: Final = 10.0


class WarmerFailed(ModelCacheError):
    """The warmer ended with a reason other than OK. It has printed the details itself."""


async def run_warmer(settings: ServeSettings, environ: Mapping[str, str]) -> None:
    """Run the warmer to its end. If this task is cancelled, the warmer is stopped first.

    Args:
        settings: catalog, cache, models and download options, which are passed on.
        environ: the environment of the child process.

    Raises:
        WarmerFailed: the warmer ended with an exit code other than 0.
    """
    process = await asyncio.create_subprocess_exec(
        *warmer_arguments(settings), env=dict(environ), stdin=asyncio.subprocess.PIPE, stdout=sys.stderr
    )
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await _stop(process)
        raise
    if code != 0:
        raise WarmerFailed(
            f"cache-warmer ended with exit code {code}",
            "find the cause in the log above, fix it, and start again",
            reason=reason_of_exit_code(code),
        )


def warmer_arguments(settings: ServeSettings) -> list[str]:
    """Return the command line of the warmer, with the options that both programs share."""
    shared = settings.shared
    command = [sys.executable, "-m", "cache_warmer", "warm", "--end-with-stdin", "--cache", shared.cache]
    if shared.catalog is not None:
        command += ["--catalog", str(shared.catalog)]
    for key in shared.models:
        command += ["--model", key]
    command += _download_arguments(settings)
    if shared.log_level is LogLevel.WARNING:
        command.append("--quiet")
    elif shared.log_level is LogLevel.DEBUG:
        command.append("--verbose")
    return command


def manual_command(settings: ServeSettings, environ: Mapping[str, str], verb: str = "warm") -> str:
    """Return the shell command that fetches or repairs this cache, for remedies.

    Args:
        settings: catalog, cache, models and download options.
        environ: the environment of the shell. Options that it already sets are left out.
        verb: `warm` or `repair`.
    """
    given = replace(
        settings,
        hub=_unless_in_environment(settings.hub, "HF_ENDPOINT", environ),
        wheel_base=_unless_in_environment(settings.wheel_base, "QDA_WHEEL_BASE", environ),
        stall_timeout=_unless_in_environment(settings.stall_timeout, "QDA_STALL_TIMEOUT", environ),
    )
    return options.warmer_command(settings.shared, environ, *_download_arguments(given), verb=verb)


def reason_of_exit_code(code: int) -> Reason:
    """Return the reason of an exit code: INTERRUPTED for a signal, INTERNAL for an unknown code."""
    if code < 0 or code == 128 + signal.SIGTERM:
        return Reason.INTERRUPTED
    return next((reason for reason in Reason if reason.exit_code == code), Reason.INTERNAL)


def _unless_in_environment(value: str | None, variable: str, environ: Mapping[str, str]) -> str | None:
    return None if environ.get(variable) == value else value


def _download_arguments(settings: ServeSettings) -> list[str]:
    arguments = (
        ("--hub", settings.hub), ("--wheel-base", settings.wheel_base), ("--stall-timeout", settings.stall_timeout)
    )  # fmt: skip
    return [part for flag, value in arguments if value is not None for part in (flag, value)]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
