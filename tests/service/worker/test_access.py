"""Tokens and names of certificates, against a real worker: refusals, rotation while calls run, no token in logs."""

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from qda_worker.client import Client, Refused, Settings, Tls
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import TIMEOUT, ServeProcess, serving
from tests.service.worker.test_tls import options
from tests.support.certificates import Authority

# Tokens without a part that a log could contain by chance.
ALICE: Final = "Qm9hcmRlci1hbGljZS0wMDAx"
BOB: Final = "Qm9hcmRlci1ib2ItMDAwMg=="
SECRETS: Final = ("Qm9hcmRlci", "Bearer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("access")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def worker(cache_fixture: CacheFixture, folder: Path, authority: Authority) -> Iterator[ServeProcess]:
    """Start a worker that requires a token and one of two names in the client's certificate."""
    write(folder, "..1", f"# callers\nalice {ALICE}\nbob {BOB}\n")
    (folder / "tokens").symlink_to("..data/tokens")
    arguments = options(cache_fixture, authority.issue("server"), "--tls-client-ca", str(authority.file))
    arguments += [
        "--tokens",
        str(folder / "tokens"),
        "--allow-client",
        "gateway",
        "--allow-client",
        "dats.example.org",
    ]
    arguments += ["--health-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--verbose"]
    with serving(folder, *arguments) as process:
        process.wait_until_ready()
        yield process
        assert process.events("call.bug") == []


def write(folder: Path, version: str, content: str) -> None:
    """Write the tokens as a mounted Secret, by swapping one link."""
    (folder / version).mkdir()
    (folder / version / "tokens").write_text(content)
    (folder / version / "tokens").chmod(0o640)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")


def connect(
    worker: ServeProcess, authority: Authority, name: str, token: str, dns: str = "localhost"
) -> Client:
    own = authority.issue(name, dns=dns)
    tls = Tls(authority.file, own.certificate, own.key)
    return Client(Settings(worker.address, tls=tls, timeout=TIMEOUT, token=token, caller="study-7"))


def test_token_and_certificate_open_the_worker_and_each_refusal_is_explained(
    worker: ServeProcess, authority: Authority
) -> None:
    for name, dns in (("gateway", "localhost"), ("any", "DATS.example.org")):
        with connect(worker, authority, name, ALICE, dns) as client:
            assert client.entities(["Merkel war in Köln."])[0].entities[0].text == "Merkel"
    for name, token, reason, remedy in (
        ("gateway", "", "TOKEN_MISSING", "--token-file FILE"),
        ("gateway", ALICE[:-1], "TOKEN_UNKNOWN", "--token-file FILE"),
        ("stranger", ALICE, "CLIENT_NOT_ALLOWED", "--allow-client"),
    ):
        with connect(worker, authority, name, token) as client, pytest.raises(Refused) as refused:
            client.entities(["Merkel"])
        assert refused.value.reason == reason
        assert remedy in refused.value.remedy
        assert client.settings.token not in str(refused.value) or not token


def test_health_needs_no_token(worker: ServeProcess, authority: Authority) -> None:
    port = worker.wait_for_event("health.listening")["port"]
    assert worker.health(address=f"127.0.0.1:{port}") == "SERVING"
    with connect(worker, authority, "stranger", "") as client:
        assert client.health().name == "SERVING"


def test_a_replaced_token_is_used_while_calls_go_on(
    worker: ServeProcess, folder: Path, authority: Authority
) -> None:
    new = f"new{ALICE}"
    failures: list[Exception] = []
    stop = threading.Event()

    def call_on() -> None:
        number = 0
        with connect(worker, authority, "gateway", ALICE) as client:
            while not stop.is_set():
                number += 1
                try:
                    assert client.entities([f"Satz {number} aus Köln."])[0].ok
                except Refused as error:
                    failures.append(error)

    thread = threading.Thread(target=call_on)
    thread.start()
    try:
        loaded = len(worker.events("access.tokens_loaded"))
        write(folder, "..2", f"alice {ALICE}\nalice {new}\n")
        worker.wait_for("both tokens", lambda: len(worker.events("access.tokens_loaded")) > loaded)
        with connect(worker, authority, "gateway", new) as client:
            assert client.entities(["Neu in Köln."])[0].ok
            write(folder, "..3", f"alice\n{new}\n")
            worker.wait_for_event("access.tokens_not_loaded")
            assert client.entities(["Weiter in Köln."])[0].ok
            assert failures == []
            write(folder, "..4", f"alice {new}\n")
            worker.wait_for("the old token's end", lambda: bool(failures))
            assert client.entities(["Noch in Köln."])[0].ok
    finally:
        stop.set()
        thread.join(TIMEOUT)
    assert {str(error.reason) for error in failures if isinstance(error, Refused)} == {"TOKEN_UNKNOWN"}
    write(folder, "..5", f"alice {ALICE}\nbob {BOB}\n")
    worker.wait_for("bob again", lambda: worker.events("access.tokens_loaded")[-1]["names"] == 2)


def test_the_command_line_client_takes_the_token_from_a_file(
    worker: ServeProcess, folder: Path, authority: Authority
) -> None:
    own = authority.issue("gateway")
    token = folder / "own-token"
    token.write_text(f"{BOB}\n")
    command = [sys.executable, "-m", "qda_worker.client.cli.main", "models", "--target", worker.address]
    command += [
        "--tls-ca",
        str(authority.file),
        "--tls-cert",
        str(own.certificate),
        "--tls-key",
        str(own.key),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 65
    assert done.stderr.startswith("qda-client: TOKEN_MISSING: the call has no token")
    command += ["--token-file", str(token)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, "tiny-ner" in done.stdout) == (0, True)
    worker.wait_for("bob in the log", lambda: any(line.get("principal") == "bob" for line in worker.lines))


def test_names_are_in_log_and_metrics_and_tokens_are_not(worker: ServeProcess, authority: Authority) -> None:
    with connect(worker, authority, "gateway", ALICE) as client:
        client.entities(["Berlin"])
    worker.wait_for(
        "alice in the log", lambda: any(line.get("principal") == "alice" for line in worker.lines)
    )
    port = worker.wait_for_event("metrics.listening")["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT) as answer:
        page = answer.read().decode()
    assert 'qda_caller_calls_total{grpc_status="OK",principal="alice"}' in page
    for secret in SECRETS:
        assert secret not in page
        assert secret not in worker.log
    with pytest.raises(Refused):
        connect(worker, authority, "gateway", "").models()
