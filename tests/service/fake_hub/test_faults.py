"""Each fault of the table in `tests.support.fake_hub.faults`, as seen by a plain HTTP client."""

import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.service.fake_hub.conftest import CONFIG, WEIGHTS
from tests.support.fake_hub import (
    FakeHub,
    Fault,
    FaultInvalid,
    FaultKind,
    Repository,
    self_signed_certificate,
)
from tests.support.fake_hub.faults import fault_from_json

SMALL: Final = "/qda/small/resolve/main/config.json"
LARGE: Final = "/qda/small/resolve/main/model.safetensors"


@dataclass(frozen=True, slots=True)
class Seen:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def ask(
    url: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 20,
) -> Seen:
    """Send one request on a new connection, without following redirects."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=timeout)
    try:
        connection.request(method, f"{address.path}?{address.query}", body=body, headers=headers or {})
        response = connection.getresponse()
        return Seen(response.status, response.headers, response.read())
    finally:
        connection.close()


@pytest.fixture
def weights(hub: FakeHub) -> str:
    """Return the address to which a request for the weights is redirected."""
    location = ask(hub.url + LARGE).headers["Location"]
    assert isinstance(location, str)
    hub.log.clear()
    return location


@pytest.mark.parametrize(
    ("fault", "status", "header", "value"),
    [
        (Fault(FaultKind.STATUS, status=401), 401, "X-Error-Code", None),
        (Fault(FaultKind.STATUS, status=403, error_code="GatedRepo"), 403, "X-Error-Code", "GatedRepo"),
        (Fault(FaultKind.STATUS, status=404, error_code="RepoNotFound"), 404, "X-Error-Code", "RepoNotFound"),
        (Fault(FaultKind.STATUS, status=429, retry_after=7), 429, "Retry-After", "7"),
        (Fault(FaultKind.STATUS, status=503), 503, "Retry-After", None),
        (Fault(FaultKind.PAGE), 200, "Content-Type", "text/html; charset=utf-8"),
        (Fault(FaultKind.HEADERS, headers={"x-repo-commit": None}), 200, "X-Repo-Commit", None),
        (Fault(FaultKind.HEADERS, headers={"ETag": '"other"'}), 200, "ETag", '"other"'),
        (Fault(FaultKind.HEADERS, headers={"Content-Length": None}), 200, "Content-Length", None),
    ],
)
def test_a_fault_replaces_the_response(
    hub: FakeHub, fault: Fault, status: int, header: str, value: str | None
) -> None:
    hub.faults.add(fault)
    seen = ask(hub.url + SMALL)
    assert (seen.status, seen.headers[header]) == (status, value)
    assert hub.log.requests()[0].fault == fault.kind


def test_a_redirect_leads_back_to_itself(hub: FakeHub) -> None:
    hub.faults.add(Fault(FaultKind.REDIRECT_LOOP))
    seen = ask(hub.url + SMALL)
    assert (seen.status, seen.headers["Location"]) == (302, hub.url + SMALL)


def test_a_connection_is_closed_without_a_response(hub: FakeHub) -> None:
    hub.faults.add(Fault(FaultKind.HANG_UP))
    with pytest.raises(http.client.RemoteDisconnected):
        ask(hub.url + SMALL)
    assert hub.log.requests()[0].status is None


def test_a_reset_comes_after_the_given_number_of_bytes(hub: FakeHub, weights: str) -> None:
    hub.faults.add(Fault(FaultKind.RESET, path="model.safetensors", after=300_001))
    received = bytearray()

    def read_all(connection: socket.socket) -> None:
        while chunk := connection.recv(65_536):
            received.extend(chunk)

    with socket.create_connection((urlsplit(weights).hostname, urlsplit(weights).port)) as connection:
        connection.sendall(f"GET {urlsplit(weights).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            read_all(connection)
    assert bytes(received).partition(b"\r\n\r\n")[2] == WEIGHTS[:300_001]
    assert hub.log.bytes_sent("*model.safetensors") == 300_001


def test_a_body_is_shorter_than_its_content_length(hub: FakeHub, weights: str) -> None:
    hub.faults.add(Fault(FaultKind.CUT, path="model.safetensors", after=1000))
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(weights)
    assert (len(cut.value.partial), cut.value.expected) == (1000, len(WEIGHTS) - 1000)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(FaultKind.SHORT, count=10), WEIGHTS[:-10]),
        (Fault(FaultKind.LONG, count=3), WEIGHTS + b"\0\0\0"),
        (Fault(FaultKind.WRONG_BYTES, after=500), WEIGHTS[:500] + bytes([WEIGHTS[500] ^ 1]) + WEIGHTS[501:]),
    ],
    ids=["short", "long", "wrong bytes"],
)
def test_a_body_has_another_length_or_content(
    hub: FakeHub, weights: str, fault: Fault, expected: bytes
) -> None:
    hub.faults.add(fault)
    seen = ask(weights)
    assert seen.body == expected
    assert seen.headers["Content-Length"] == str(len(expected))


@pytest.mark.parametrize("start", [400, 600], ids=["before the byte", "behind it"])
def test_wrong_bytes_are_wrong_in_a_range_too(hub: FakeHub, weights: str, start: int) -> None:
    hub.faults.add(Fault(FaultKind.WRONG_BYTES, after=500))
    seen = ask(weights, headers={"Range": f"bytes={start}-"})
    assert [at + start for at, byte in enumerate(seen.body) if byte != WEIGHTS[at + start]] == [
        max(500, start)
    ]


def test_a_stall_is_a_pause_before_the_rest_of_the_body(hub: FakeHub, weights: str) -> None:
    hub.faults.add(Fault(FaultKind.STALL, after=1000, seconds=0.6, times=1))
    with pytest.raises(TimeoutError):
        ask(weights, timeout=0.2)
    hub.faults.add(Fault(FaultKind.STALL, after=1000, seconds=0.1))
    assert ask(weights).body == WEIGHTS


def test_an_endless_stall_or_delay_ends_when_the_fake_hub_closes(repository: Repository) -> None:
    with FakeHub([repository]) as hub:
        hub.faults.add(Fault(FaultKind.STALL, after=10, times=1), Fault(FaultKind.DELAY))
        for _ in range(2):
            with pytest.raises(TimeoutError):
                ask(hub.url + SMALL, timeout=0.2)
        assert [request.fault for request in hub.log.requests()] == ["stall", "delay"]


def test_a_slow_response_has_the_given_rate(hub: FakeHub) -> None:
    hub.faults.add(Fault(FaultKind.SLOW, bytes_per_second=4 * len(CONFIG)))
    start = time.monotonic()
    assert ask(hub.url + SMALL).body == CONFIG
    # The least that it can take: the last piece of a twentieth of a second is not waited for.
    assert time.monotonic() - start >= 0.18


def test_a_range_is_ignored_and_such_a_fault_waits_for_one(hub: FakeHub, weights: str) -> None:
    hub.faults.add(Fault(FaultKind.IGNORE_RANGE, times=1))
    assert ask(weights).body == WEIGHTS
    ignored = ask(weights, headers={"Range": "bytes=10-"})
    assert (ignored.status, ignored.body) == (200, WEIGHTS)
    assert ask(weights, headers={"Range": "bytes=10-"}).status == 206


def test_a_fault_applies_to_its_path_for_the_given_number_of_times(hub: FakeHub) -> None:
    hub.faults.add(
        Fault(FaultKind.STATUS, path="*/resolve/*", method="GET", times=2, status=500),
        Fault(FaultKind.STATUS, path="config.json", host="storage", status=501),
    )
    assert ask(hub.url + SMALL, "HEAD").status == 200
    assert ask(hub.url + "/api/models/qda/small").status == 200
    assert [ask(hub.url + SMALL).status for _ in range(3)] == [500, 500, 200]


def test_a_fault_of_the_body_waits_for_a_response_with_a_body(hub: FakeHub, weights: str) -> None:
    hub.faults.add(Fault(FaultKind.SHORT, path="model.safetensors", times=1))
    ask(hub.url + LARGE)
    ask(weights, "HEAD")
    assert len(ask(weights).body) == len(WEIGHTS) - 1
    assert len(ask(weights).body) == len(WEIGHTS)


@pytest.mark.parametrize("prefix", ["", "/mirror"])
def test_faults_and_log_are_controlled_over_http(repository: Repository, prefix: str) -> None:
    with FakeHub([repository], prefix=prefix) as hub:
        steer(hub)


def steer(hub: FakeHub) -> None:
    description = {"kind": "status", "status": 418, "path": "*/config.json", "times": 2}
    assert ask(hub.url + "/__faults__", "POST", body=json.dumps(description).encode()).status == 200
    assert ask(hub.url + SMALL, headers={"Authorization": "Bearer hf_secret"}).status == 418
    assert json.loads(ask(hub.url + "/__faults__").body)[0]["times"] == 1
    ask(hub.url + "/__faults__", "DELETE")
    assert ask(hub.url + SMALL).status == 200
    log = ask(hub.url + "/__log__").body
    assert [(entry["status"], entry["authorized"]) for entry in json.loads(log)] == [
        (418, True),
        (200, False),
    ]
    assert b"hf_secret" not in log
    ask(hub.url + "/__log__", "DELETE")
    assert hub.log.requests() == ()


@pytest.mark.parametrize(
    "description",
    [
        {"kind": "earthquake"}, {"path": "*"}, {"kind": "reset", "afterwards": 3}, {"kind": "reset", "after": -1},
        {"kind": "reset", "after": "much"}, {"kind": "status", "times": 0}, "reset",
    ],
)  # fmt: skip
def test_an_invalid_fault_is_refused(hub: FakeHub, description: object) -> None:
    with pytest.raises(FaultInvalid):
        fault_from_json(description)
    assert ask(hub.url + "/__faults__", "POST", body=json.dumps([description]).encode()).status == 400
    assert hub.faults.waiting() == ()


def test_only_clients_with_the_certificate_trust_the_fake_hub(repository: Repository, tmp_path: Path) -> None:
    certificate = self_signed_certificate(tmp_path)
    with FakeHub([repository], tls=certificate) as hub:
        address = urlsplit(hub.url)
        stranger = http.client.HTTPSConnection(address.netloc, context=ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("GET", SMALL)
        stranger.close()
        context = ssl.create_default_context(cafile=str(certificate.certificate))
        friend = http.client.HTTPSConnection(address.netloc, context=context)
        friend.request("GET", LARGE)
        response = friend.getresponse()
        response.read()
        friend.close()
        assert address.scheme == "https"
        assert response.headers["Location"].startswith(hub.storage_url)
