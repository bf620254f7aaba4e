"""The options of `qda-client` that all commands share: the worker's address, TLS, deadline, format of the output.

Each can also be set by an environment variable. Imports no gRPC.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from model_cache.cli.options import Option, duration, one_of
from model_cache.errors import UsageError


class Format(StrEnum):
    """The format of results, on stdout or in a file."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"
    QDPX = "qdpx"
    QDC = "qdc"
    CONLLU = "conllu"


@dataclass(frozen=True, slots=True)
class Connection:
    """The options that all commands share.

    Attributes:
        timeout: seconds for each request.
        token: that of the environment; empty if there is none, or if a file is given.
    """

    target: str
    timeout: float
    caller: str
    token: str = field(repr=False)
    token_file: Path | None
    plaintext_token: bool
    format: Format
    tls: bool
    tls_ca: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    tls_server_name: str


def _text(text: str) -> str:
    return text


def _path(text: str) -> Path | None:
    if "\x00" in text:
        raise ValueError("a file")
    return Path(text)


# A variable alone: an option would show the token to every user of the machine.
TOKEN_VARIABLE: Final = "QDA_TOKEN"  # noqa: S105  # the name of a variable
TARGET: Final = Option(
    "--target", "QDA_TARGET", _text, "127.0.0.1:50051", "HOST:PORT", "address of the worker"
)
TIMEOUT: Final = Option(
    "--timeout",
    "QDA_TIMEOUT",
    duration,
    120.0,
    "TIME",
    "deadline of each request, including the wait for a worker that is not ready, as 500ms, 30s or 5m; "
    "a long input is sent as several requests",
    "120s",
)
CALLER: Final = Option(
    "--caller",
    "QDA_CALLER",
    _text,
    "",
    "NAME",
    "name of this caller in the worker's log and fair scheduling",
    "its address",
)
TOKEN_FILE: Final = Option(
    "--token-file",
    "QDA_TOKEN_FILE",
    _path,
    None,
    "FILE",
    f"file with the bearer token for workers that require one; {TOKEN_VARIABLE} holds a token itself",
    f"{TOKEN_VARIABLE}, else none",
)
FORMAT: Final = Option(
    "--format",
    "QDA_FORMAT",
    one_of(Format),
    Format.TABLE,
    "|".join(Format),
    "format of the result; qdpx is a REFI-QDA project with sources, codes and codings, qdc its code book; "
    "conllu has the tokens of syntax and analyze; xlsx, parquet, qdpx and qdc need --output",
    "that of the name of --output, else table",
)
TLS_CA: Final = Option(
    "--tls-ca",
    "QDA_TLS_CA",
    _path,
    None,
    "FILE",
    "authorities that sign the worker's certificate, in PEM format; enables TLS",
    "plain text",
)
TLS_CERTIFICATE: Final = Option(
    "--tls-cert",
    "QDA_CLIENT_TLS_CERT",
    _path,
    None,
    "FILE",
    "this client's certificate for mutual TLS, in PEM format; enables TLS",
    "that of QDA_TLS_CERT, except in a worker's container; else none",
)
TLS_KEY: Final = Option(
    "--tls-key",
    "QDA_CLIENT_TLS_KEY",
    _path,
    None,
    "FILE",
    "private key of --tls-cert, in PEM format",
    "that of QDA_TLS_KEY, except in a worker's container; else none",
)
TLS_NAME: Final = Option(
    "--tls-server-name",
    "QDA_TLS_SERVER_NAME",
    _text,
    "",
    "NAME",
    "name in the worker's certificate",
    "the target's",
)

# The variables of the client's own pair, and those that it shares with `qda-worker serve`.
_PAIR_VARIABLES: Final = {"QDA_CLIENT_TLS_CERT": "QDA_TLS_CERT", "QDA_CLIENT_TLS_KEY": "QDA_TLS_KEY"}

# Variables that only a worker has: where they are set, QDA_TLS_CERT and QDA_TLS_KEY are the worker's own pair.
_WORKER_VARIABLES: Final = ("QDA_LISTEN", "QDA_HEALTH_LISTEN", "QDA_METRICS_LISTEN", "QDA_TLS_CLIENT_CA")

CONNECTION: Final = (TARGET, TIMEOUT, CALLER, TOKEN_FILE, FORMAT, TLS_CA, TLS_CERTIFICATE, TLS_KEY, TLS_NAME)


def read_connection(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Connection:
    """Return the options that all commands share, from flags and environment.

    Raises:
        UsageError: when a value is wrong.
    """
    speaks_tls = bool(environ.get("QDA_TLS_CERT"))
    environ = _with_own_pair(environ)
    files = [option.value(arguments, environ) for option in (TLS_CA, TLS_CERTIFICATE, TLS_KEY)]
    timeout = TIMEOUT.value(arguments, environ)
    token = environ.get(TOKEN_VARIABLE, "") if arguments.token_file is None else ""
    if timeout <= 0:
        raise UsageError(f"{TIMEOUT.flag} is {timeout:g} s", "give a time above 0")
    return Connection(
        target=TARGET.value(arguments, environ),
        timeout=timeout,
        caller=CALLER.value(arguments, environ),
        token=token,
        token_file=None if token else TOKEN_FILE.value(arguments, environ),
        plaintext_token=arguments.plaintext_token,
        format=FORMAT.value(arguments, environ),
        tls=arguments.tls or any(files) or speaks_tls,
        tls_ca=files[0],
        tls_certificate=files[1],
        tls_key=files[2],
        tls_server_name=TLS_NAME.value(arguments, environ),
    )


def _with_own_pair(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment with the client's own certificate and key.

    `QDA_TLS_CERT` and `QDA_TLS_KEY` count for the client as well, unless this is the environment of a worker: its pair
    proves the worker's identity, and its key may not be readable for who runs the client there.
    """
    if any(environ.get(name) for name in _WORKER_VARIABLES) and not environ.get("QDA_TLS_CA"):
        return environ
    shared = {own: environ.get(name, "") for own, name in _PAIR_VARIABLES.items() if not environ.get(own)}
    return {**environ, **shared}
