"""`cache-warmer`: fills the cache with the models of a catalog, and says where they are.

Parses and hands over; each command lives in a module of its own. Nothing heavy is imported here.
"""

import logging
import os
import sys
from collections.abc import MutableMapping, Sequence
from typing import Final, NoReturn, TextIO

from cache_warmer.commands.collect import add_collect_switches, collect_command
from cache_warmer.commands.command import SOURCES, Command, Invocation
from cache_warmer.commands.env import EnvFormat, shell_lines, variables, written
from cache_warmer.commands.export import add_export_switches, export_command
from cache_warmer.commands.import_ import add_import_arguments, import_command
from cache_warmer.commands.lock import add_lock_switches, lock_command
from cache_warmer.commands.plan import plan_command
from cache_warmer.commands.warm import end_with_starter, warm_command
from cache_warmer.options import ENV_FORMAT, KEEP, REFERENCE, WAIT
from model_cache.check.types import Tier
from model_cache.cli.options import CACHE, find_places
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import run, set_up_logging
from model_cache.errors import UsageError

PROGRAM: Final = "cache-warmer"
_LATER: Final = ("adopt", "publish")
_CHATTY: Final = ("httpx2", "httpcore2", "httpx", "httpcore", "huggingface_hub", "filelock", "urllib3")
_EPILOG: Final = """\
exit codes: 0 done; 2 wrong options; 3 catalog invalid; 13 upstream moved (lock --check); 20 to 26 the
hub (unauthorized, not found, unreachable, untrusted, busy, stalled, wrong content); 30 no space; 31 not writable; 32
volume unsuitable; 40 another warmer; 130, 143 interrupted: the next run goes on. Tokens come from HF_TOKEN or the hub
client's file."""


def _plan(called: Invocation) -> int:
    return plan_command(called.settings(), called.environ, called.out, called.err)


def _plan_switches(parser: OptionParser) -> None:
    parser.add_argument("--no-probe", action="store_true", help="judge space alone: make no probe folder")


def _warm_switches(parser: OptionParser) -> None:
    parser.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="stop when standard input ends: for a program that starts this one and may be killed",
    )


def _warm(called: Invocation) -> int:
    if called.arguments.end_with_stdin:
        end_with_starter(sys.stdin.fileno())
    return warm_command(called.settings(), called.environ, called.out, called.err)


def _repair(called: Invocation) -> int:
    return warm_command(called.settings(), called.environ, called.out, called.err, tier=Tier.DEEP)


def _env(called: Invocation) -> int:
    places = find_places(called.value(CACHE), called.environ)
    named, form = variables(places), called.value(ENV_FORMAT)
    print(shell_lines(named, places) if form is EnvFormat.SHELL else written(named, form), file=called.out)
    return 0


# In the order of `--help`: a model's life in the cache.
COMMANDS: Final = (
    Command(
        "plan",
        "say what warm would do, and whether the volume is fit for it",
        _plan,
        SOURCES,
        add=_plan_switches,
    ),
    Command(
        "warm",
        "fetch what is missing, verify it, publish",
        _warm,
        (*SOURCES, WAIT, REFERENCE),
        add=_warm_switches,
    ),
    Command("repair", "read every file, and fetch those that are bad", _repair, (*SOURCES, WAIT, REFERENCE)),
    Command(
        "lock",
        "pin branches and tags to commits, and write sizes and hashes beside the catalog",
        lock_command,
        SOURCES,
        add=add_lock_switches,
    ),
    Command(
        "export",
        "write the catalog's generation as a tar stream, for a cache that reaches no hub",
        export_command,
        add=add_export_switches,
    ),
    Command(
        "import",
        "read an exported generation into the cache, verify it, publish",
        import_command,
        (WAIT, REFERENCE),
        add=add_import_arguments,
    ),
    Command(
        "collect",
        "say what no release needs any more; delete it with --apply",
        collect_command,
        (WAIT, KEEP),
        add=add_collect_switches,
    ),
    Command(
        "env",
        "print the variables under which other programs find the cache",
        _env,
        (CACHE, ENV_FORMAT),
        shared=False,
    ),
)


def main() -> NoReturn:
    """Run `cache-warmer` with this process's arguments and exit."""
    run(cache_warmer, name=PROGRAM)


def cache_warmer(
    argv: Sequence[str],
    environ: MutableMapping[str, str] = os.environ,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Run one command and return its exit code. Raises `ModelCacheError`."""
    names = [command.name for command in COMMANDS]
    if argv and argv[0] in _LATER:
        raise UsageError(f"`{PROGRAM} {argv[0]}` is not there yet", f"use {', '.join(names)}")
    arguments = _parser().parse_args(argv)
    if arguments.command is None:
        raise UsageError("no command given", f"give {', '.join(names)}; see `{PROGRAM} --help`")
    command = next(one for one in COMMANDS if one.name == arguments.command)
    called = Invocation(arguments, environ, stdout or sys.stdout, stderr or sys.stderr)
    if command.shared:
        _set_up_logging(called.settings().options.log_level)
    return command.run(called)


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
    for command in COMMANDS:
        sentence = f"{command.help[0].upper()}{command.help[1:]}."
        command.add_to(commands.add_parser(command.name, help=command.help, description=sentence))
    for name in _LATER:
        commands.add_parser(name, help="not there yet")
    return parser


if __name__ == "__main__":
    main()
