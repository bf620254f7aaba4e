"""TLS on the gRPC port: valid, foreign, expired and renewed certificates, against a real worker."""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from model_cache.explanations import hint_line
from qda_worker.client import Client, NotReachable, Settings, Tls, TlsFailed
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import TIMEOUT, ServeProcess, serving
from tests.support.certificates import Authority, KeyPair

DAY: Final = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other-authority"), "other-authority")


def options(cache_fixture: CacheFixture, pair: KeyPair, *more: str) -> list[str]:
    return [
        *("--catalog", str(cache_fixture.catalog_file), "--cache", str(cache_fixture.cache), "--no-fetch"),
        *("--model", "tiny-ner", "--tls-cert", str(pair.certificate), "--tls-key", str(pair.key), *more),
    ]


@pytest.fixture(scope="module")
def mutual_worker(
    cache_fixture: CacheFixture, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServeProcess]:
    """Start a worker that requires client certificates; its health port is plain text."""
    arguments = options(
        cache_fixture, authority.issue("mutual-server"), "--tls-client-ca", str(authority.file)
    )
    arguments += ["--health-listen", "127.0.0.1:0"]
    with serving(tmp_path_factory.mktemp("mutual"), *arguments) as process:
        process.wait_until_ready()
        yield process


def entities(worker: ServeProcess, tls: Tls | None) -> str:
    with Client(Settings(worker.address, tls=tls, timeout=TIMEOUT)) as client:
        return client.entities(["Merkel war in Köln."])[0].entities[0].text


def test_a_client_with_a_certificate_of_the_client_ca_is_accepted(
    mutual_worker: ServeProcess, authority: Authority
) -> None:
    own = authority.issue("client")
    assert entities(mutual_worker, Tls(authority.file, own.certificate, own.key)) == "Merkel"
    assert mutual_worker.events("server.listening")[0]["tls"] == "mutual"


def test_the_health_port_stays_plain_text(mutual_worker: ServeProcess) -> None:
    port = mutual_worker.wait_for_event("health.listening")["port"]
    assert mutual_worker.health(address=f"127.0.0.1:{port}") == "SERVING"


def test_a_missing_foreign_or_expired_client_certificate_is_explained(
    mutual_worker: ServeProcess, authority: Authority, other_authority: Authority
) -> None:
    foreign = other_authority.issue("foreign-client")
    expired = authority.issue("expired-client", since=-3 * DAY, until=-DAY)
    for tls in (
        None,
        Tls(authority.file),
        Tls(authority.file, foreign.certificate, foreign.key),
        Tls(authority.file, expired.certificate, expired.key),
    ):
        with pytest.raises(NotReachable, match="--tls-cert FILE --tls-key FILE"):
            entities(mutual_worker, tls)


def test_a_client_that_does_not_trust_the_server_reports_it(
    mutual_worker: ServeProcess, other_authority: Authority
) -> None:
    with pytest.raises(TlsFailed, match="not signed by an authority that this client trusts"):
        entities(mutual_worker, Tls(other_authority.file))


def test_the_command_line_client_reports_a_tls_failure_in_one_line(
    mutual_worker: ServeProcess, other_authority: Authority
) -> None:
    command = [
        sys.executable,
        "-m",
        "qda_worker.client.cli.main",
        "models",
        "--target",
        mutual_worker.address,
    ]
    done = subprocess.run(
        [*command, "--tls-ca", str(other_authority.file)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 67
    assert done.stderr.startswith("qda-client: TLS_FAILED: ")
    assert done.stderr.removesuffix(hint_line("TLS_FAILED")).count("\n") == 1


def test_a_renewed_certificate_is_used_without_a_restart(
    cache_fixture: CacheFixture, authority: Authority, other_authority: Authority, tmp_path: Path
) -> None:
    """Renew it as Kubernetes renews a mounted Secret: the files are links, and the folder behind them is swapped."""
    secret = tmp_path / "secret"
    secret.mkdir()
    mount(secret, other_authority.issue("old"), "old")
    pair = KeyPair(secret / "tls.crt", secret / "tls.key")
    with serving(tmp_path, *options(cache_fixture, pair)) as worker:
        worker.wait_until_ready()
        assert entities(worker, Tls(other_authority.file)) == "Merkel"
        with Client(Settings(worker.address, tls=Tls(other_authority.file))) as open_before:
            assert open_before.entities(["Köln"])[0].ok
            mount(secret, authority.issue("new"), "new")
            assert entities(worker, Tls(authority.file)) == "Merkel"
            assert open_before.entities(["Köln"])[0].ok, "open connections stay open"
        with pytest.raises(TlsFailed):
            entities(worker, Tls(other_authority.file))
        assert [line["subject"] for line in worker.events("tls.loaded")] == ["CN=old", "CN=new"]
        # Half of a renewal: the key does not match the certificate. The former pair stays in use.
        (secret / "tls.key").unlink()
        (secret / "tls.key").write_bytes(other_authority.issue("half").key.read_bytes())
        assert entities(worker, Tls(authority.file)) == "Merkel"
        assert "does not match the certificate" in worker.wait_for_event("tls.not_reloaded")["detail"]


def mount(secret: Path, pair: KeyPair, version: str) -> None:
    """Write a pair as a mounted Secret, by swapping one link."""
    folder = secret / f"..{version}"
    folder.mkdir()
    (folder / "tls.crt").write_bytes(pair.certificate.read_bytes())
    (folder / "tls.key").write_bytes(pair.key.read_bytes())
    (secret / "..data_tmp").symlink_to(folder.name)
    (secret / "..data_tmp").rename(secret / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (secret / name).is_symlink():
            (secret / name).symlink_to(Path("..data") / name)


def test_an_expired_certificate_is_reported_by_worker_and_client(
    cache_fixture: CacheFixture, authority: Authority, tmp_path: Path
) -> None:
    with serving(
        tmp_path, *options(cache_fixture, authority.issue("aged", since=-3 * DAY, until=-DAY))
    ) as worker:
        worker.wait_until_ready()
        assert "expired at" in worker.wait_for_event("tls.certificate_time")["detail"]
        with pytest.raises(TlsFailed, match="certificate has expired"):
            entities(worker, Tls(authority.file))


def test_unusable_files_end_the_program(
    cache_fixture: CacheFixture, authority: Authority, other_authority: Authority, tmp_path: Path
) -> None:
    mixed = KeyPair(authority.issue("mixed").certificate, other_authority.issue("mixed").key)
    with serving(tmp_path, *options(cache_fixture, mixed)) as worker:
        assert worker.wait() == 2
    assert "USAGE: " in worker.log
    assert "does not match the certificate" in worker.log
    assert " Remedy: " in worker.log
