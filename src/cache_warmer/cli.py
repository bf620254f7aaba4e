"""``cache-warmer``: fills the cache with the models of a catalog, and says where they are.

Parses and hands over; each command lives in a module of its own. Nothing heavy is imported here.
"""

import logging
import os
import sys
from collections.abc import MutableMapping, Sequence
from typing import NoReturn, TextIO

from cache_warmer.environment import EnvFormat, shell_lines, variables, written
from cache_warmer.plan_command import plan_command
from cache_warmer.settings import Settings
from cache_warmer.warm_command import warm_command
from cache_warmer.warmer_options import ENV_FORMAT, HUB, STALL_TIMEOUT, WAIT, WHEEL_BASE
from model_cache.errors import UsageError
from model_cache.options import CACHE, add_shared_options, find_places, read_shared_options
from model_cache.parser import OptionParser
from model_cache.program import run, set_up_logging

PROGRAM = "cache-warmer"
_LATER = ("lock", "repair", "collect", "export", "import", "adopt", "publish")
_CHATTY = ("httpx2", "httpcore2", "httpx", "httpcore", "huggingface_hub", "filelock", "urllib3")
_EPILOG = """exit codes: 0 done; 2 wrong options; 3 catalog invalid; 20 to 26 the hub (unauthorized, not found,
unreachable, untrusted, busy, stalled, wrong content); 30 no space; 31 not writable; 32 volume unsuitable; 40
another warmer; 130, 143 interrupted: the next run goes on. Tokens come from HF_TOKEN or the hub client's file."""


def main() -> NoReturn:
    """Run ``cache-warmer`` with this process's arguments and exit."""
    run(cache_warmer, name=PROGRAM)


def cache_warmer(
    argv: Sequence[str],
    environ: MutableMapping[str, str] = os.environ,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Run one command and return its exit code. Raises ``ModelCacheError``."""
    if argv and argv[0] in _LATER:
        raise UsageError(f"`{PROGRAM} {argv[0]}` is not there yet", "use plan, warm or env")
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        raise UsageError("no command given", f"give plan, warm or env; see `{PROGRAM} --help`")
    out, err = stdout or sys.stdout, stderr or sys.stderr
    if arguments.command == "env":
        places = find_places(CACHE.value(arguments, environ), environ)
        named, form = variables(places), ENV_FORMAT.value(arguments, environ)
        print(shell_lines(named, places) if form is EnvFormat.SHELL else written(named, form), file=out)
        return 0
    settings = Settings(
        options=read_shared_options(arguments, environ),
        endpoint=HUB.value(arguments, environ),
        wheel_base=WHEEL_BASE.value(arguments, environ),
        stall_timeout=STALL_TIMEOUT.value(arguments, environ),
        wait=WAIT.value(arguments, environ) if arguments.command == "warm" else 0.0,
        probe=not getattr(arguments, "no_probe", False),
    )
    _set_up_logging(settings.options.log_level)
    command = plan_command if arguments.command == "plan" else warm_command
    return command(settings, environ, out, err)


def _set_up_logging(level: str) -> None:
    set_up_logging(level)
    for name in _CHATTY:  # they log addresses with their signatures, and headers with their tokens
        logging.getLogger(name).setLevel(logging.WARNING)


def _parser() -> OptionParser:
    parser = OptionParser(
        prog=PROGRAM, description="Fill the cache with the models of a catalog.", epilog=_EPILOG
    )
    parser.add_version()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=OptionParser)
    plan = commands.add_parser("plan", help="say what warm would do, and whether the volume is fit for it")
    plan.add_argument("--no-probe", action="store_true", help="judge space alone: make no probe folder")
    warm = commands.add_parser("warm", help="fetch what is missing, verify it, publish")
    WAIT.add_to(warm)
    for command in (plan, warm):
        add_shared_options(command)
        for option in (HUB, WHEEL_BASE, STALL_TIMEOUT):
            option.add_to(command)
    env = commands.add_parser("env", help="print the variables under which other programs find the cache")
    CACHE.add_to(env)
    ENV_FORMAT.add_to(env)
    for name in _LATER:
        commands.add_parser(name, help="not there yet")
    return parser


if __name__ == "__main__":
    main()
