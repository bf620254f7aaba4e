"""`qda-client`: asks a worker about the texts of a file, from a shell.

The program's edge is that of all programs here (`model_cache.cli.program`); the client's own errors join it
below, with their own exit codes (`qda_worker.client.errors`).
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from model_cache.cli.program import run
from model_cache.json_values import to_json_line
from qda_worker.client.cli.options import PROGRAM, Format, parser, read_connection
from qda_worker.client.errors import ClientError


def main() -> NoReturn:
    """Run `qda-client` with this process's arguments and exit."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # each failure is told once, by this program
    run(qda_client, name=PROGRAM)


def qda_client(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run a command and give its exit code. Raises ModelCacheError for wrong options."""
    arguments = parser().parse_args(argv)
    connection = read_connection(arguments, environ)
    from qda_worker.client.cli.commands import Terminal, run_command  # here: it imports gRPC

    progress = sys.stderr.isatty() and not arguments.quiet
    try:
        return run_command(
            arguments, connection, Terminal(sys.stdin.buffer, sys.stdout, sys.stderr, progress)
        )
    except ClientError as error:
        return _failed(error, connection.format)


def _failed(error: ClientError, form: Format) -> int:
    print(f"{PROGRAM}: {error}", file=sys.stderr)
    if form is not Format.TABLE:
        print(to_json_line(error.fields()))
    return error.exit_code


if __name__ == "__main__":
    main()
