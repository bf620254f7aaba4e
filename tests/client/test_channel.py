"""How the client reaches workers: targets, load balancing, reconnection, TLS, metadata."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from qda_worker.client import Client, InvalidSettings, NotReachable, Settings, Tls, TlsFailed
from qda_worker.client.channel import channel_options, target_uri
from qda_worker.limits import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MIN_PING_SECONDS
from tests.client.conftest import Invoke
from tests.support.fake_hub.certificate import Certificate, self_signed_certificate
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import refuse


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("127.0.0.1:50051", "dns:///127.0.0.1:50051"),
        ("localhost:50051", "dns:///localhost:50051"),
        ("qda-worker-headless.qda.svc:50051", "dns:///qda-worker-headless.qda.svc:50051"),
        ("[::1]:50051", "dns:///[::1]:50051"),
        ("dns:///worker:50051", "dns:///worker:50051"),
        ("unix:/run/qda.sock", "unix:/run/qda.sock"),
        ("ipv4:10.0.0.1:5,10.0.0.2:5", "ipv4:10.0.0.1:5,10.0.0.2:5"),
    ],
)
def test_a_target_without_a_scheme_is_resolved_by_dns(target: str, uri: str) -> None:
    assert target_uri(target) == uri
    assert Settings(target).uri == uri


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": ""},
        {"target": "localhost"},
        {"target": "http://localhost:50051"},
        {"target": "tcp://worker:50051"},
        {"caller": "Frau Müller"},
        {"caller": "two words"},
        {"timeout": 0},
        {"stream_timeout": -1},
        {"chunk_texts": 10_001},
        {"chunk_texts": 0},
        {"in_flight": 0},
    ],
)
def test_invalid_settings_are_rejected_when_they_are_created(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings(**wrong)
    assert caught.value.remedy


@pytest.mark.parametrize("target", ["host:50051/", "host:50051/path", "[::1]:50051/", "10.0.0.1:50051?x"])
def test_a_target_with_a_path_is_told_so(target: str) -> None:
    with pytest.raises(InvalidSettings, match="has a path after its port"):
        Settings(target)


def test_the_limits_and_the_pings_match_the_worker() -> None:
    options = dict(channel_options(Settings()))
    assert options["grpc.max_send_message_length"] == MAX_REQUEST_BYTES
    assert options["grpc.max_receive_message_length"] == MAX_RESPONSE_BYTES
    assert int(options["grpc.keepalive_time_ms"]) > MIN_PING_SECONDS * 1000


def test_a_rollout_cannot_outrun_the_resolution_of_names() -> None:
    """gRPC's default of 30 s is longer than the replacement of two workers, and its pings stop after two."""
    options = dict(channel_options(Settings()))
    assert int(options["grpc.dns_min_time_between_resolutions_ms"]) <= 5_000
    assert options["grpc.http2.max_pings_without_data"] == 0


@pytest.fixture
def second_worker() -> Iterator[FakeWorker]:
    """Start another worker."""
    started = FakeWorker(name="second").start()
    yield started
    started.stop()


def test_requests_go_to_all_workers_in_turn(
    worker: FakeWorker, second_worker: FakeWorker, invoke: Invoke
) -> None:
    settings = Settings(f"ipv4:{worker.target},{second_worker.target}", chunk_texts=1, in_flight=1)
    invoke(settings, "wait_ready", 30)
    answer = invoke(settings, "sentiment", ["gut"] * 40)
    assert len(worker.calls) + len(second_worker.calls) == 40
    assert len(worker.calls) >= 10
    assert len(second_worker.calls) >= 10
    assert {made.worker_version for made in answer.provenances} == {"fake", "second"}


def test_a_list_is_answered_while_one_of_two_workers_drains(
    worker: FakeWorker, second_worker: FakeWorker, invoke: Invoke
) -> None:
    worker.faults = [refuse(grpc.StatusCode.UNAVAILABLE, "DRAINING")] * 1_000
    settings = Settings(f"ipv4:{worker.target},{second_worker.target}", chunk_texts=1)
    answer = invoke(settings, "sentiment", ["gut"] * 8)
    assert all(result.ok for result in answer)
    assert [made.worker_version for made in answer.provenances] == ["second"]


def test_with_watch_health_a_worker_that_does_not_serve_gets_no_calls(
    worker: FakeWorker, second_worker: FakeWorker, invoke: Invoke
) -> None:
    worker.health[""] = 2
    settings = Settings(f"ipv4:{worker.target},{second_worker.target}", chunk_texts=1, watch_health=True)
    invoke(settings, "sentiment", ["gut"] * 8)
    assert worker.calls == []


def test_a_client_reconnects_to_a_restarted_worker(client: Client, worker: FakeWorker) -> None:
    assert client.sentiment(["gut"])[0].ok
    worker.stop()
    with pytest.raises(NotReachable):
        client.sentiment(["gut"], timeout=1)
    again = FakeWorker(name="again").start(address=worker.target)
    try:
        client.wait_ready(30)
        assert client.sentiment(["gut"]).provenance.worker_version == "again"
    finally:
        again.stop()


def test_every_call_has_the_callers_name_and_the_clients_version(worker: FakeWorker, invoke: Invoke) -> None:
    settings = Settings(worker.target, caller="interview-study")
    invoke(settings, "sentiment", ["gut"])
    invoke(settings, "find_paraphrases", ["gut"], best=1)
    invoke(settings, "models")
    assert [call.metadata["x-qda-caller"] for call in worker.calls] == ["interview-study"] * 3
    assert worker.calls[0].metadata["user-agent"].startswith("qda-client/")


def test_without_a_callers_name_none_is_sent(client: Client, worker: FakeWorker) -> None:
    client.models()
    assert "x-qda-caller" not in worker.calls[0].metadata


def test_a_request_above_grpcs_default_retry_buffer_is_retried(client: Client, worker: FakeWorker) -> None:
    worker.faults = [refuse(grpc.StatusCode.UNAVAILABLE, "DRAINING")]
    assert client.sentiment(["gut" * 1_000_000])[0].ok
    assert len(worker.calls) == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Create a certificate for localhost and 127.0.0.1."""
    return self_signed_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_worker(certificate: Certificate) -> Iterator[FakeWorker]:
    """Start a worker that requires mutual TLS."""
    key, chain = certificate.key.read_bytes(), certificate.certificate.read_bytes()
    started = FakeWorker().start(grpc.ssl_server_credentials([(key, chain)], chain, require_client_auth=True))
    yield started
    started.stop()


def test_mutual_tls_from_files(tls_worker: FakeWorker, certificate: Certificate, invoke: Invoke) -> None:
    tls = Tls(ca=certificate.certificate, certificate=certificate.certificate, key=certificate.key)
    assert invoke(Settings(tls_worker.target, tls=tls), "sentiment", ["gut"])[0].ok
    named = Tls(
        ca=certificate.certificate,
        certificate=certificate.certificate,
        key=certificate.key,
        server_name="localhost",
    )
    assert invoke(Settings(tls_worker.target, tls=named), "sentiment", ["gut"])[0].ok


@pytest.mark.parametrize("tls", [None, Tls()])
def test_an_untrusted_certificate_is_reported_with_the_option_for_it(
    tls_worker: FakeWorker, invoke: Invoke, tls: Tls | None
) -> None:
    with pytest.raises(NotReachable if tls is None else TlsFailed, match="--tls-ca"):
        invoke(Settings(tls_worker.target, tls=tls), "sentiment", ["gut"])


def test_a_target_without_tls_is_reported_as_such(worker: FakeWorker, invoke: Invoke) -> None:
    with pytest.raises(TlsFailed, match="does not speak TLS"):
        invoke(Settings(worker.target, tls=Tls()), "sentiment", ["gut"])


def test_a_certificate_for_another_name_is_reported_with_the_option_for_it(
    tls_worker: FakeWorker, certificate: Certificate, invoke: Invoke
) -> None:
    tls = Tls(certificate.certificate, certificate.certificate, certificate.key, server_name="other.invalid")
    with pytest.raises(TlsFailed, match="--tls-server-name"):
        invoke(Settings(tls_worker.target, tls=tls), "sentiment", ["gut"])


def test_a_key_of_another_certificate_is_rejected_at_once(certificate: Certificate, tmp_path: Path) -> None:
    other = self_signed_certificate(tmp_path)
    with pytest.raises(InvalidSettings, match="do not belong together"):
        Client(Settings(tls=Tls(certificate=certificate.certificate, key=other.key)))


def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path, certificate: Certificate) -> None:
    text = tmp_path / "no.pem"
    text.write_text("nothing")
    for tls, words in [
        (Tls(ca=tmp_path / "missing.pem"), "missing.pem cannot be read"),
        (Tls(ca=text), "no.pem is not in PEM form"),
        (Tls(certificate=certificate.certificate), "needs its key"),
    ]:
        with pytest.raises(InvalidSettings, match=words):
            Client(Settings(tls=tls))


def test_the_token_is_sent_with_every_call_and_shown_nowhere(worker: FakeWorker, tmp_path: Path) -> None:
    with Client(Settings(worker.target, token="abc-123", caller="me")) as client:
        client.models()
        assert "abc-123" not in repr(client.settings)
    file = tmp_path / "token"
    with Client(Settings(worker.target, token_file=file)) as client:
        for token in ("first", "second"):
            file.write_text(f"{token}\n")
            client.models()
    sent = [call.metadata.get("authorization") for call in worker.calls]
    assert sent == ["Bearer abc-123", "Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target": "worker:50051", "token": "abc"}, "would be sent to worker:50051 in plain text"),
        ({"target": "dns://8.8.8.8/localhost:1", "token": "abc"}, "in plain text"),
        ({"target": "xds:///localhost:1", "token": "abc"}, "in plain text"),
        ({"target": "worker:50051", "token_file": Path("t")}, "in plain text"),
        ({"token": "abc def"}, "characters that metadata cannot carry"),
        ({"token": "abc", "token_file": Path("t")}, "both a token and a file"),
    ],
)
def test_a_token_is_not_sent_in_plain_text_to_another_machine(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSettings, match=words):
        Settings(**settings)
    Settings("worker:50051", token="abc", plaintext_token=True)
    Settings("worker:50051", token="abc", tls=Tls())


def test_a_file_without_one_token_is_refused_without_quoting_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings = Settings(token_file=file)
    with pytest.raises(InvalidSettings, match="token cannot be read: No such file"):
        settings.metadata()
    for content in (b"", b"alice s3cret\n", b"\xff"):
        file.write_bytes(content)
        with pytest.raises(InvalidSettings) as caught:
            settings.metadata()
        assert "s3cret" not in str(caught.value)
