"""The entry point of `qda-client`, which calls a worker from a shell.

`model_cache.cli.program` runs this program as it runs the others: errors of options and files become one line on stderr
and an exit code. The client's own errors are handled below, with their own exit codes (`qda_worker.client.errors`).
gRPC is imported after the options have been read, so that `--help` and wrong options answer at once.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import BinaryIO, NoReturn

from model_cache.cli.program import Terminated, run
from model_cache.json_values import dump_json_line
from qda_worker.client.cli.command_errors import as_error, error_fields, exit_code
from qda_worker.client.cli.connection import Format, read_connection
from qda_worker.client.cli.options import PROGRAM, parser
from qda_worker.client.cli.result_options import LOCAL_COMMANDS
from qda_worker.client.errors import ClientError


def main() -> NoReturn:
    """Run `qda-client` with this process's arguments and exit."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # this program reports each failure itself, once
    # a thread of gRPC's that reads requests holds the lock of its call now and then, and the call's destructor needs it
    run(qda_client, name=PROGRAM, finalize_interpreter=False)


def qda_client(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run a command and return its exit code.

    Raises:
        ModelCacheError: when an option or an input file is wrong.
    """
    arguments = parser().parse_args(argv)
    from qda_worker.client.cli.terminal import Terminal

    progress = sys.stderr.isatty() and not arguments.quiet
    terminal = Terminal(_unbuffered_stdin(), sys.stdout, sys.stderr, progress)
    if arguments.command in LOCAL_COMMANDS:
        from qda_worker.client.cli.local_commands import run_local_command

        return run_local_command(arguments, terminal)
    connection = read_connection(arguments, environ)
    try:
        from qda_worker.client.cli.commands import run_command  # imports gRPC

        return run_command(arguments, connection, terminal)
    except (ClientError, KeyboardInterrupt, Terminated) as failure:
        error = as_error(failure, "")
        terminal.report_error(error)
        if connection.format is Format.JSONL or (
            connection.format is Format.JSON and not terminal.has_output
        ):
            print(dump_json_line(error_fields(error)))
        return exit_code(error)


def _unbuffered_stdin() -> BinaryIO:
    """Return stdin without its buffer.

    A thread of gRPC's that waits for the next text holds the lock of the buffer, which the interpreter needs to exit.
    """
    if sys.stdin is None:  # the process was started with it closed
        return BytesIO()
    raw: BinaryIO = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    return raw


if __name__ == "__main__":
    main()
