"""In a cluster a Lease and a file of the volume are held together, against pods and against other writers."""

from pathlib import Path

import pytest

from cache_warmer.errors import LeaseForbidden, LeaseHeld
from cache_warmer.lease.base import FileLease, LeaseApi
from cache_warmer.lease.select import ClaimLease, select_lease
from cache_warmer.transfer.pool import Stop
from model_cache.places import resolve_places
from tests.support.fake_leases import NO_THREAD, Clock, FakeLeases


def claim_lease(
    path: Path, api: FakeLeases, clock: Clock, identity: str = "pod-a_1", timeout: float = 0.0
) -> ClaimLease:
    def connect() -> LeaseApi:
        return api

    return ClaimLease(path, "texts/claim-writer", identity, timeout, clock.deps(), connect, NO_THREAD)


def file_lease(path: Path, clock: Clock) -> FileLease:
    return FileLease(path, 0.0, lambda: clock.seconds, clock.sleep, clock.notices.append)


def test_it_excludes_a_writer_that_uses_only_the_file(tmp_path: Path) -> None:
    api, clock, path = FakeLeases(), Clock(), tmp_path / "lock"
    with (
        claim_lease(path, api, clock).held(),
        pytest.raises(LeaseHeld, match="process"),
        file_lease(path, clock).held(),
    ):
        pytest.fail("both hold it")
    with file_lease(path, clock).held():
        pass


def test_a_holder_of_the_file_alone_is_waited_for_and_the_lease_released(tmp_path: Path) -> None:
    api, clock, path = FakeLeases(), Clock(), tmp_path / "lock"
    with (
        file_lease(path, clock).held(),
        pytest.raises(LeaseHeld, match="process"),
        claim_lease(path, api, clock, timeout=5).held(),
    ):
        pytest.fail("both hold it")

    assert clock.seconds >= 1005
    assert api.state is not None
    assert api.state.holder == ""


def test_the_file_of_a_suspended_holder_is_not_waited_for_after_the_takeover(tmp_path: Path) -> None:
    api, clock, path = FakeLeases(), Clock(), tmp_path / "lock"
    with claim_lease(path, api, clock).held():  # never renewed
        taken_over = False
        with claim_lease(path, api, clock, "pod-b_2", timeout=100).held():
            taken_over = True
    assert taken_over


@pytest.mark.parametrize(
    ("cache", "environ", "kind"),
    [
        ("host", {"QDA_KUBERNETES_NAMESPACE": "texts", "QDA_KUBERNETES_LEASE": "one"}, FileLease),
        ("/cache", {"QDA_KUBERNETES_NAMESPACE": "texts"}, FileLease),
        ("/cache", {}, FileLease),
        ("/cache", {"QDA_KUBERNETES_NAMESPACE": "texts", "QDA_KUBERNETES_LEASE": "one"}, ClaimLease),
    ],
)
def test_a_lease_object_is_used_in_a_pod_of_the_chart_alone(
    tmp_path: Path, cache: str, environ: dict[str, str], kind: type
) -> None:
    places = resolve_places(cache, {}, tmp_path)
    notices: list[str] = []
    assert isinstance(select_lease(places, 0.0, environ, Stop(), notices.append), kind)


def test_a_pod_without_a_token_gets_a_remedy(tmp_path: Path) -> None:
    environ = {"QDA_KUBERNETES_NAMESPACE": "texts", "QDA_KUBERNETES_LEASE": "one"}
    places = resolve_places(str(tmp_path), {}, tmp_path)

    with pytest.raises(LeaseForbidden) as refused, select_lease(places, 0.0, environ, Stop(), print).held():
        pytest.fail("it was acquired")

    assert "texts/one" in refused.value.message
    assert "service account" in refused.value.remedy
    assert refused.value.reason.exit_code == 31
