"""Filling the cache before serving: `cache-warmer warm` as a child process.

The worker itself never downloads and never writes to the cache; the warmer does, in a process without torch and with
the environment that this program was started with (the worker's own says "offline").
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from model_cache.cli import options
from model_cache.cli.options import LogLevel
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from qda_worker.settings import ServeSettings

# How long the warmer may take to end in order when this program is told to stop.
_END_SECONDS: Final = 10.0


class FetchFailed(ModelCacheError):
    """The warmer ended with a reason other than OK; it has told the details itself."""


def warm_command(settings: ServeSettings) -> list[str]:
    """The command line of the warmer, with the options that both programs share."""
    shared = settings.shared
    command = [sys.executable, "-m", "cache_warmer", "warm", "--end-with-stdin", "--cache", shared.cache]
    if shared.catalog is not None:
        command += ["--catalog", str(shared.catalog)]
    for key in shared.models:
        command += ["--model", key]
    command += _sources(settings)
    if shared.log_level is LogLevel.WARNING:
        command.append("--quiet")
    elif shared.log_level is LogLevel.DEBUG:
        command.append("--verbose")
    return command


def command_by_hand(settings: ServeSettings, environ: Mapping[str, str], verb: str = "warm") -> str:
    """The command that a person types to fetch what is missing, or to repair, for remedies."""
    given = replace(
        settings,
        hub=_unless_said(settings.hub, "HF_ENDPOINT", environ),
        wheel_base=_unless_said(settings.wheel_base, "QDA_WHEEL_BASE", environ),
        stall_timeout=_unless_said(settings.stall_timeout, "QDA_STALL_TIMEOUT", environ),
    )
    return options.warm_command(settings.shared, environ, *_sources(given), verb=verb)


def _unless_said(value: str | None, variable: str, environ: Mapping[str, str]) -> str | None:
    return None if environ.get(variable) == value else value


def _sources(settings: ServeSettings) -> list[str]:
    named = (
        ("--hub", settings.hub), ("--wheel-base", settings.wheel_base), ("--stall-timeout", settings.stall_timeout)
    )  # fmt: skip
    return [part for flag, value in named if value is not None for part in (flag, value)]


async def fetch(settings: ServeSettings, environ: Mapping[str, str]) -> None:
    """Run the warmer to its end; what it writes goes to this program's stderr. Raises FetchFailed.

    Cancelled, it tells the warmer to stop and waits for it: its state is kept for the next run. If this process is
    killed, the pipe to the warmer's standard input closes, and that ends it too.
    """
    process = await asyncio.create_subprocess_exec(
        *warm_command(settings), env=dict(environ), stdin=asyncio.subprocess.PIPE, stdout=sys.stderr
    )
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await _end(process)
        raise
    if code != 0:
        reason = reason_of(code)
        raise FetchFailed(
            f"cache-warmer ended with status {code}",
            "see what it wrote to stderr for the cause, mend that, and start again",
            reason=reason,
        )


def reason_of(code: int) -> Reason:
    """The reason of an exit code of ours; INTERRUPTED for a signal, INTERNAL for what is none of ours."""
    if code < 0 or code == 128 + 15:
        return Reason.INTERRUPTED
    return next((reason for reason in Reason if reason.exit_code == code), Reason.INTERNAL)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _END_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
