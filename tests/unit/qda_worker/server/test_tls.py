"""TLS files: an unusable file is named in the error, with a remedy."""

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

from model_cache.errors import UsageError
from qda_worker.server.tls import read_identity
from qda_worker.settings import TlsFiles
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


def add_passphrase(key: Path) -> None:
    loaded = load_pem_private_key(key.read_bytes(), None)
    secret = BestAvailableEncryption(b"secret")
    key.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def test_valid_files_give_subject_client_ca_and_no_warning(files: TlsFiles) -> None:
    identity = read_identity(files)
    assert identity.subject == "CN=own"
    assert files.client_ca is not None
    assert identity.client_ca == files.client_ca.read_bytes()
    assert identity.validity_warning(NOW) is None


@pytest.mark.parametrize(
    ("break_file", "words"),
    [
        (lambda files: files.key.unlink(), "own.key cannot be read: No such file"),
        (lambda files: replace_by_folder(files.certificate), "own.crt cannot be read: Is a directory"),
        (lambda files: files.certificate.write_text("nothing"), "own.crt holds no certificate in PEM form"),
        (
            lambda files: files.certificate.write_bytes(b"\xff\x00"),
            "own.crt holds no certificate in PEM form",
        ),
        (lambda files: files.key.write_text("nothing"), "own.key holds no private key in PEM form"),
        (lambda files: files.client_ca.write_text(""), "authority.crt holds no certificate in PEM form"),
        (lambda files: add_passphrase(files.key), "own.key is protected by a passphrase"),
    ],
)
def test_an_unusable_file_is_named(
    files: TlsFiles, break_file: Callable[[TlsFiles], None], words: str
) -> None:
    break_file(files)
    with pytest.raises(UsageError, match=words) as caught:
        read_identity(files)
    assert caught.value.remedy


def test_a_key_of_another_certificate_is_reported_with_both_names(
    files: TlsFiles, authority: Authority
) -> None:
    with pytest.raises(UsageError, match=r"other\.key does not match the certificate .*own\.crt"):
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
def test_a_certificate_outside_its_validity_causes_a_warning(
    authority: Authority, since: dt.timedelta, until: dt.timedelta, words: str | None
) -> None:
    pair = authority.issue("timed", since=since, until=until)
    warning = read_identity(TlsFiles(pair.certificate, pair.key)).validity_warning(NOW)
    assert (words is None and warning is None) or (words and warning and words in warning)
