"""The command line of `cache-warmer`: parses the arguments and calls the module of the command.

`COMMANDS` lists every command with its help, its options and the function that runs it. Nothing heavy is imported
here: the hub client, the HTTP client and the Kubernetes client are imported when a command first needs them.
"""

import logging
import os
import sys
from collections.abc import MutableMapping, Sequence
from typing import Final, NoReturn, TextIO

from cache_warmer.commands.adopt import add_adopt_arguments, run_adopt
from cache_warmer.commands.collect import add_collect_arguments, run_collect
from cache_warmer.commands.command import SOURCE_OPTIONS, Command, Invocation
from cache_warmer.commands.doctor import DOCTOR_OPTIONS, add_doctor_arguments, run_doctor
from cache_warmer.commands.env import ENV_FORMAT, run_env
from cache_warmer.commands.explain import add_explain_arguments, run_explain
from cache_warmer.commands.export import FormatAction, add_export_arguments, run_export
from cache_warmer.commands.import_ import add_import_arguments, run_import
from cache_warmer.commands.lock import add_lock_arguments, run_lock
from cache_warmer.commands.plan import add_plan_arguments, run_plan
from cache_warmer.commands.publish import add_publish_arguments, run_publish
from cache_warmer.commands.verify import add_verify_arguments, run_verify
from cache_warmer.commands.warm import add_warm_arguments, run_repair, run_warm
from cache_warmer.options import KEEP, REFERENCE, WAIT
from model_cache.cli.options import CACHE, FORMAT
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import best_effort, run, set_up_logging
from model_cache.errors import UsageError

PROGRAM: Final = "cache-warmer"
# Libraries that log signed URLs, or headers with tokens, below the level WARNING.
_QUIET_LOGGERS: Final = (
    "httpx2",
    "httpcore2",
    "httpx",
    "httpcore",
    "huggingface_hub",
    "filelock",
    "urllib3",
)
_EPILOG: Final = """\
exit codes: 0 success; 2 usage error; 3 invalid catalog; 10, 11 cache incomplete, corrupt; 13 upstream changed (lock
--check); 14 accuracy gate failed (publish); 20 to 26 hub unauthorized, not found, unreachable, untrusted, busy,
stalled, content mismatch; 30 no space; 31 no permission; 32 unsuitable volume; 40 lease held by another warmer;
41 lease lost; 50 internal error; 130, 143 interrupted, the next run continues. The hub token comes from HF_TOKEN or
the hub client's token file."""

# In the order of `--help`: that in which the commands are usually needed.
COMMANDS: Final = (
    Command(
        "plan",
        "show what warm would fetch, and check whether the volume is suitable",
        run_plan,
        SOURCE_OPTIONS,
        add_arguments=add_plan_arguments,
    ),
    Command(
        "warm",
        "fetch missing files, verify them, and publish the generation",
        run_warm,
        (*SOURCE_OPTIONS, WAIT, REFERENCE),
        add_arguments=add_warm_arguments,
    ),
    Command(
        "repair",
        "hash every file of the cache, and fetch damaged and missing files again",
        run_repair,
        (*SOURCE_OPTIONS, WAIT, REFERENCE),
    ),
    Command(
        "verify",
        "hash every file of the cache, and write the result to the cache, where workers export it as metrics",
        run_verify,
        (*SOURCE_OPTIONS, WAIT, REFERENCE),
        add_arguments=add_verify_arguments,
    ),
    Command(
        "lock",
        "pin branches and tags to commits in the catalog, and write sizes and hashes to the lock beside it",
        run_lock,
        SOURCE_OPTIONS,
        add_arguments=add_lock_arguments,
    ),
    Command(
        "export",
        "write the catalog's generation to a tar archive, for a cache without access to a hub, or to a container image",
        run_export,
        add_arguments=add_export_arguments,
        format_action=FormatAction,
    ),
    Command(
        "import",
        "read an exported generation into the cache, verify it, and publish it",
        run_import,
        (WAIT, REFERENCE),
        add_arguments=add_import_arguments,
    ),
    Command(
        "adopt",
        "find models that other programs downloaded, verify them, and put them into the cache with --apply",
        run_adopt,
        (*SOURCE_OPTIONS, WAIT, REFERENCE),
        add_arguments=add_adopt_arguments,
    ),
    Command(
        "publish",
        "verify a prepared form of a model, and put it into the cache",
        run_publish,
        (WAIT,),
        add_arguments=add_publish_arguments,
    ),
    Command(
        "collect",
        "list what no reference needs any more; delete it with --apply",
        run_collect,
        (WAIT, KEEP),
        add_arguments=add_collect_arguments,
    ),
    Command(
        "doctor",
        "show what is wrong with environment, volumes and caches of this machine, with remedies",
        run_doctor,
        DOCTOR_OPTIONS,
        shared=False,  # wrong variables of the shared options are findings
        add_arguments=add_doctor_arguments,
    ),
    Command(
        "explain",
        "explain a reason, such as NO_SPACE: what it means, its causes and remedies",
        run_explain,
        (FORMAT,),
        shared=False,
        add_arguments=add_explain_arguments,
    ),
    Command(
        "env",
        "print the environment variables with which other programs find the cache",
        run_env,
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
    """Run one command and return its exit code.

    Args:
        argv: the arguments without the program's name.
        environ: the environment.
        stdout: where results go; None: that of the process.
        stderr: where messages go; None: that of the process.

    Raises:
        ModelCacheError: the arguments are wrong, or the command failed without reporting it itself.
    """
    arguments = _parser().parse_args(argv)
    if arguments.command is None:
        names = ", ".join(command.name for command in COMMANDS)
        raise UsageError("no command given", f"give one of: {names}; see `{PROGRAM} --help`")
    command = next(one for one in COMMANDS if one.name == arguments.command)
    err = best_effort(stderr or sys.stderr)  # what cannot be shown never decides how a command ends
    invocation = Invocation(arguments, environ, stdout or sys.stdout, err)
    if command.shared:
        _set_up_logging(invocation.settings().options.log_level)
    return command.run(invocation)


def _parser() -> OptionParser:
    parser = OptionParser(
        prog=PROGRAM, description="Fill the cache with the models of a catalog.", epilog=_EPILOG
    )
    parser.add_version()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=OptionParser)
    for command in COMMANDS:
        description = f"{command.help[0].upper()}{command.help[1:]}."
        command.add_to(commands.add_parser(command.name, help=command.help, description=description))
    parser.add_completion(commands)
    return parser


def _set_up_logging(level: str) -> None:
    set_up_logging(level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
