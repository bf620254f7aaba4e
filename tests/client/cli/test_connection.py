"""The options that all commands share: flags before variables, and whose certificate a variable names."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from qda_worker.client import Offsets
from qda_worker.client.cli.connection import read_connection
from qda_worker.client.cli.options import Encodings, parser, read_encodings

WORKER: Final = {"QDA_LISTEN": "[::]:50051", "QDA_TLS_CERT": "/tls/tls.crt", "QDA_TLS_KEY": "/tls/tls.key"}
OWN: Final = {"QDA_CLIENT_TLS_CERT": "c", "QDA_CLIENT_TLS_KEY": "k"}


@pytest.mark.parametrize(
    ("arguments", "environ", "pair"),
    [
        ([], {}, (None, None)),
        ([], {"QDA_TLS_CERT": "c", "QDA_TLS_KEY": "k"}, ("c", "k")),
        ([], OWN, ("c", "k")),
        ([], {**OWN, "QDA_TLS_CERT": "x", "QDA_TLS_KEY": "y"}, ("c", "k")),
        ([], WORKER, (None, None)),
        ([], {**WORKER, **OWN}, ("c", "k")),
        ([], {**WORKER, "QDA_LISTEN": "", "QDA_TLS_CLIENT_CA": "/tls/ca.crt"}, (None, None)),
        (["--tls-cert", "f", "--tls-key", "g"], {**WORKER, **OWN}, ("f", "g")),
        # A worker's image as a client, which names the authority of the worker that it calls.
        ([], {**WORKER, "QDA_TLS_CA": "ca.crt"}, ("/tls/tls.crt", "/tls/tls.key")),
    ],
)
def test_the_pair_of_a_worker_is_not_taken_for_the_clients(
    arguments: list[str], environ: dict[str, str], pair: tuple[str | None, str | None]
) -> None:
    connection = read_connection(parser().parse_args(["health", *arguments]), environ)
    found = (connection.tls_certificate, connection.tls_key)
    assert found == tuple(None if each is None else Path(each) for each in pair)
    assert connection.tls == bool(arguments or environ)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Encodings("", Offsets.CODE_POINTS)),
        (["--encoding", "utf-16"], Encodings("", Offsets.UTF16_UNITS)),
        (["--encoding", "code-points"], Encodings("", Offsets.CODE_POINTS)),
        (["--encoding", "windows-1252"], Encodings("cp1252", Offsets.CODE_POINTS)),
        (["--encoding", "UTF-16LE"], Encodings("utf-16-le", Offsets.CODE_POINTS)),
        (["--encoding", "utf-16", "--offsets", "utf-8"], Encodings("utf-16", Offsets.UTF8_BYTES)),
        (["--offsets", "utf-16"], Encodings("", Offsets.UTF16_UNITS)),
    ],
)
@pytest.mark.parametrize("command", ["sentiment", "entities", "analyze"])
def test_encoding_names_the_files_encoding_or_the_unit_of_positions(
    command: str, arguments: list[str], expected: Encodings
) -> None:
    assert read_encodings(parser().parse_args([command, *arguments])) == expected


def test_without_positions_encoding_is_always_that_of_the_file() -> None:
    assert read_encodings(parser().parse_args(["embed", "--encoding", "utf-16"])).file == "utf-16"
    assert read_encodings(parser().parse_args(["paraphrases", "--encoding", "latin1"])).file == "iso8859-1"


@pytest.mark.parametrize("name", ["nonsense", "base64", "idna", "unicode_escape", " ", "a\0b", "rot13"])
def test_an_unknown_encoding_is_refused(name: str) -> None:
    arguments = parser().parse_args(["embed", "--encoding", name])
    with pytest.raises(UsageError, match="--encoding"):
        read_encodings(arguments)
