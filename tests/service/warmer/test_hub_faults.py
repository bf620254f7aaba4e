"""The faults of a hub, and the reason with which the warmer ends for each."""

import socket
from typing import Final

import pytest

from tests.service.warmer.fixtures import Workspace
from tests.support.fake_hub import Fault, FaultKind

WEIGHTS: Final = "model.safetensors"


@pytest.mark.parametrize(
    ("fault", "reason", "code"),
    [
        (Fault(FaultKind.STATUS, "*/tree/*", status=401), "HUB_UNAUTHORIZED", 20),
        (Fault(FaultKind.STATUS, "*/tree/*", status=403, error_code="GatedRepo"), "HUB_UNAUTHORIZED", 20),
        (Fault(FaultKind.STATUS, "*/tree/*", status=404, error_code="RepoNotFound"), "HUB_NOT_FOUND", 21),
        (Fault(FaultKind.STATUS, "*/tree/*", status=404, error_code="RevisionNotFound"), "HUB_NOT_FOUND", 21),
        (Fault(FaultKind.STATUS, WEIGHTS, status=404, error_code="EntryNotFound"), "HUB_NOT_FOUND", 21),
        (Fault(FaultKind.STATUS, WEIGHTS, status=403), "HUB_UNAUTHORIZED", 20),
        (Fault(FaultKind.PAGE, "*/tree/*"), "HUB_UNREACHABLE", 22),
        (Fault(FaultKind.PAGE, WEIGHTS), "HUB_UNREACHABLE", 22),
        (Fault(FaultKind.PAGE, "*/tree/*", body='{"a": 1}', content_type="application/json"), "HUB_UNREACHABLE", 22),
        (Fault(FaultKind.PAGE, "*/tree/*", body="[1, 2]", content_type="application/json"), "HUB_UNREACHABLE", 22),
        (Fault(FaultKind.REDIRECT_LOOP, WEIGHTS), "HUB_UNREACHABLE", 22),
        (Fault(FaultKind.REDIRECT_LOOP, "*/tree/*"), "HUB_UNREACHABLE", 22),
        (Fault(FaultKind.HANG_UP, "*/tree/*"), "HUB_UNREACHABLE", 22),
        (Fault(FaultKind.CUT, WEIGHTS, after=0), "HUB_UNREACHABLE", 22),
        (Fault(FaultKind.STATUS, "*/tree/*", status=500), "HUB_BUSY", 24),
        (Fault(FaultKind.STATUS, WEIGHTS, status=503), "HUB_BUSY", 24),
        (Fault(FaultKind.STATUS, WEIGHTS, status=429, retry_after=3600), "HUB_BUSY", 24),
        (Fault(FaultKind.WRONG_BYTES, WEIGHTS, after=2_000_000), "CONTENT_MISMATCH", 26),
        (Fault(FaultKind.WRONG_BYTES, "vocab.txt", after=3), "CONTENT_MISMATCH", 26),
        (Fault(FaultKind.WRONG_BYTES, "*.whl", after=30_000), "CONTENT_MISMATCH", 26),
        (Fault(FaultKind.LONG, WEIGHTS, count=7), "CONTENT_MISMATCH", 26),
        (Fault(FaultKind.SHORT, "vocab.txt", count=9), "CONTENT_MISMATCH", 26),
        (Fault(FaultKind.STATUS, "/wheels/*", status=404), "HUB_NOT_FOUND", 21),
    ],
    ids=lambda value: f"{value.kind}-{value.path}-{value.status}" if isinstance(value, Fault) else str(value),
)  # fmt: skip
def test_a_permanent_fault_has_its_reason_and_publishes_nothing(
    workspace: Workspace, fault: Fault, reason: str, code: int
) -> None:
    workspace.hub.faults.add(fault)

    outcome = workspace.warm()

    assert (outcome.reason, outcome.code) == (reason, code)
    assert outcome.err.startswith(f"cache-warmer: {reason}: ")
    assert "Remedy: " in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(workspace.cache.glob(".model-cache/manifests/*"))
    workspace.hub.faults.clear()
    assert workspace.warm().reason == "OK", "when the hub is well again, the next run completes the cache"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.STATUS, "*/tree/*", status=500, times=2),
        Fault(FaultKind.STATUS, WEIGHTS, status=503, times=2),
        Fault(FaultKind.STATUS, WEIGHTS, status=429, retry_after=1, times=1),
        Fault(FaultKind.HANG_UP, WEIGHTS, times=2),
        Fault(FaultKind.RESET, WEIGHTS, after=1_000_000, times=2),
        Fault(FaultKind.CUT, WEIGHTS, after=1_500_000, times=2),
        Fault(FaultKind.SHORT, WEIGHTS, count=500, times=1),
        Fault(FaultKind.LONG, WEIGHTS, count=500, times=1),
        Fault(FaultKind.WRONG_BYTES, WEIGHTS, after=5, times=1),
        Fault(FaultKind.WRONG_BYTES, "*.whl", after=1000, times=1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.path}",
)
def test_a_transient_fault_is_retried(workspace: Workspace, fault: Fault) -> None:
    workspace.hub.faults.add(fault)

    assert workspace.warm().reason == "OK"

    assert not workspace.hub.faults.waiting(), "the fault did happen"


def test_a_mismatch_names_both_hashes_and_leaves_no_staged_bytes(workspace: Workspace) -> None:
    workspace.hub.faults.add(Fault(FaultKind.WRONG_BYTES, WEIGHTS, after=2_000_000))

    outcome = workspace.warm()

    promised = workspace.repositories[0].files[WEIGHTS].sha256
    assert promised in outcome.err
    assert len(outcome.err.split("sha256 ")[1].split(" ")[0]) == 64
    assert not list(workspace.cache.rglob(promised))
    assert [path.stat().st_size for path in workspace.cache.rglob(f"{promised}.incomplete")] in ([], [0])


def test_a_retry_after_header_is_respected(workspace: Workspace) -> None:
    workspace.hub.faults.add(Fault(FaultKind.STATUS, "*/tree/*", status=429, retry_after=1, times=1))

    outcome = workspace.warm("one")

    assert outcome.reason == "OK"
    assert outcome.document["seconds"] >= 1.0, "no retry before the time of the header"


def test_a_silent_connection_is_a_stall(workspace: Workspace) -> None:
    workspace.hub.faults.add(Fault(FaultKind.STALL, WEIGHTS, after=0))

    outcome = workspace.warm("one", stall_timeout=0.2)

    assert (outcome.reason, outcome.code) == ("HUB_STALLED", 25)


def test_a_stalled_body_is_resumed_where_it_stopped(workspace: Workspace) -> None:
    workspace.hub.faults.add(Fault(FaultKind.STALL, WEIGHTS, after=2_000_000, times=1))

    outcome = workspace.warm("one", stall_timeout=1.5)

    assert outcome.reason == "OK"
    assert [request.range for request in workspace.hub.log.requests(f"*{WEIGHTS}", host="storage")] == [
        None,
        "bytes=2000000-",
    ]


def test_a_listing_without_response_is_a_stall(workspace: Workspace) -> None:
    workspace.hub.faults.add(Fault(FaultKind.DELAY, "*/tree/*"))

    assert workspace.warm("one", stall_timeout=0.2).reason == "HUB_STALLED"


def test_a_refused_connection_is_unreachable(workspace: Workspace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    outcome = workspace.warm(endpoint=f"http://127.0.0.1:{port}")

    assert (outcome.reason, outcome.code) == ("HUB_UNREACHABLE", 22)
    assert f"127.0.0.1:{port}" in outcome.err


def test_an_unknown_host_name_is_unreachable(workspace: Workspace) -> None:
    assert workspace.warm(endpoint="http://hub.invalid").reason == "HUB_UNREACHABLE"


def test_a_missing_repository_revision_or_file_is_named(workspace: Workspace) -> None:
    text = workspace.catalog.read_text("utf-8")
    for old, new in [
        (workspace.repositories[0].commit, "a" * 40),
        ("org/first", "org/fourth"),
        ("config.json", "confg.json"),
    ]:
        workspace.catalog.write_text(text.replace(old, new), "utf-8")

        outcome = workspace.warm()

        assert (outcome.reason, outcome.code) == ("HUB_NOT_FOUND", 21)
        assert new[:12] in outcome.err


def test_offline_mode_is_an_error_when_files_are_missing(workspace: Workspace) -> None:
    workspace.environ["HF_HUB_OFFLINE"] = "1"

    outcome = workspace.warm()

    assert (outcome.reason, outcome.code) == ("USAGE", 2)
    assert "HF_HUB_OFFLINE" in outcome.err
