"""Files of TLS: what cannot be used is named, with the remedy."""

import argparse
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from qda_worker.server.tls import read_identity
from qda_worker.settings import ServeSettings, TlsFiles, add_serve_options, read_serve_settings
from tests.support.certificates import Authority

DAY: Final = dt.timedelta(days=1)
NOW: Final = dt.datetime.now(dt.UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> TlsFiles:
    pair = authority.issue("own")
    return TlsFiles(pair.certificate, pair.key, authority.file)


def protect(key: Path) -> None:
    loaded = load_pem_private_key(key.read_bytes(), None)
    secret = BestAvailableEncryption(b"secret")
    key.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def test_a_good_set_of_files_tells_whose_it_is_and_how_long(files: TlsFiles) -> None:
    identity = read_identity(files)
    assert identity.subject == "CN=own"
    assert files.client_ca is not None
    assert identity.client_ca == files.client_ca.read_bytes()
    assert identity.warning(NOW) is None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda files: files.key.unlink(), "own.key cannot be read: No such file"),
        (lambda files: become_folder(files.certificate), "own.crt cannot be read: Is a directory"),
        (lambda files: files.certificate.write_text("nothing"), "own.crt holds no certificate in PEM form"),
        (
            lambda files: files.certificate.write_bytes(b"\xff\x00"),
            "own.crt holds no certificate in PEM form",
        ),
        (lambda files: files.key.write_text("nothing"), "own.key holds no private key in PEM form"),
        (lambda files: files.client_ca.write_text(""), "authority.crt holds no certificate in PEM form"),
        (lambda files: protect(files.key), "own.key is protected by a passphrase"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    files: TlsFiles, spoil: Callable[[TlsFiles], None], words: str
) -> None:
    spoil(files)
    with pytest.raises(UsageError, match=words) as caught:
        read_identity(files)
    assert caught.value.remedy


def test_a_key_of_another_certificate_is_told_with_both_names(files: TlsFiles, authority: Authority) -> None:
    with pytest.raises(UsageError, match=r"other\.key is not that of the certificate .*own\.crt"):
        read_identity(TlsFiles(files.certificate, authority.issue("other").key))


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        (-3 * DAY, -DAY, "expired at"),
        (DAY, 3 * DAY, "is not valid before"),
        (-30 * DAY, DAY, "was not renewed yet"),
        (-DAY, DAY, None),
    ],
)
def test_a_certificate_whose_time_is_over_or_not_come_is_worth_a_warning(
    authority: Authority, since: dt.timedelta, until: dt.timedelta, words: str | None
) -> None:
    pair = authority.issue("timed", since=since, until=until)
    warning = read_identity(TlsFiles(pair.certificate, pair.key)).warning(NOW)
    assert (words is None and warning is None) or (words and warning and words in warning)


def settings(*arguments: str, **environ: str) -> ServeSettings:
    parser = OptionParser(prog="test")
    add_serve_options(parser)
    given: argparse.Namespace = parser.parse_args(arguments)
    return read_serve_settings(given, environ, in_container=False)


def test_variables_mean_the_same_as_options() -> None:
    named = settings("--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a")
    assert named.tls == TlsFiles(Path("c"), Path("k"), Path("a"))
    assert settings(QDA_TLS_CERT="c", QDA_TLS_KEY="k", QDA_TLS_CLIENT_CA="a").tls == named.tls
    assert settings().tls is None
    assert settings().reflection
    assert not settings("--no-reflection").reflection
    assert not settings(QDA_REFLECTION="false").reflection
    assert settings("--reflection", QDA_REFLECTION="false").reflection
    assert settings(QDA_MAX_CALLS="7").max_calls == 7


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["--tls-cert", "c"], {}, "without --tls-key"),
        (["--tls-key", "k"], {}, "without --tls-cert"),
        (["--tls-client-ca", "a"], {}, "without --tls-cert"),
        ([], {"QDA_TLS_KEY": "k"}, "QDA_TLS_CERT"),
        ([], {"QDA_REFLECTION": "maybe"}, 'QDA_REFLECTION: found "maybe"'),
        (["--max-calls", "0"], {}, '--max-calls: found "0"'),
        (["--max-calls", "many"], {}, '--max-calls: found "many"'),
    ],
)
def test_mistakes_name_the_option(arguments: list[str], environ: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        settings(*arguments, **environ)
