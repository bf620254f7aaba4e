"""In a cluster a Lease and a file of the volume are held together: pods and foreign writers are both kept out."""

from pathlib import Path

import pytest

from cache_warmer.errors import LeaseForbidden, LeaseHeld
from cache_warmer.lease.base import FileLease, LeaseApi
from cache_warmer.lease.select import ClaimLease, lease_for
from cache_warmer.transfer.pool import Stop
from model_cache.places import resolve_places
from tests.support.fake_leases import NO_THREAD, Clock, FakeLeases


def claim_lease(
    path: Path, api: FakeLeases, clock: Clock, who: str = "pod-a_1", patience: float = 0.0
) -> ClaimLease:
    def connect() -> LeaseApi:
        return api

    return ClaimLease(path, "texts/claim-writer", who, patience, clock.around(), connect, NO_THREAD)


def file_lease(path: Path, clock: Clock) -> FileLease:
    return FileLease(path, 0.0, lambda: clock.seconds, clock.sleep, clock.told.append)


def test_it_keeps_out_who_knows_only_the_file(tmp_path: Path) -> None:
    api, clock, path = FakeLeases(), Clock(), tmp_path / "lock"
    with (
        claim_lease(path, api, clock).held(),
        pytest.raises(LeaseHeld, match="process"),
        file_lease(path, clock).held(),
    ):
        pytest.fail("both hold it")
    with file_lease(path, clock).held():
        pass


def test_who_holds_only_the_file_is_waited_for_and_the_lease_given_back(tmp_path: Path) -> None:
    api, clock, path = FakeLeases(), Clock(), tmp_path / "lock"
    with (
        file_lease(path, clock).held(),
        pytest.raises(LeaseHeld, match="process"),
        claim_lease(path, api, clock, patience=5).held(),
    ):
        pytest.fail("both hold it")

    assert clock.seconds >= 1005
    assert api.state is not None
    assert api.state.holder == ""


def test_a_frozen_holder_s_file_is_not_waited_for_once_its_lease_is_ours(tmp_path: Path) -> None:
    api, clock, path = FakeLeases(), Clock(), tmp_path / "lock"
    with claim_lease(path, api, clock).held():  # never renewed
        taken_over = False
        with claim_lease(path, api, clock, "pod-b_2", patience=100).held():
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
def test_a_lease_is_taken_in_a_pod_of_the_chart_alone(
    tmp_path: Path, cache: str, environ: dict[str, str], kind: type
) -> None:
    places = resolve_places(cache, {}, tmp_path)
    told: list[str] = []
    assert isinstance(lease_for(places, 0.0, environ, Stop(), told.append), kind)


def test_a_pod_without_a_token_is_told_what_it_lacks(tmp_path: Path) -> None:
    environ = {"QDA_KUBERNETES_NAMESPACE": "texts", "QDA_KUBERNETES_LEASE": "one"}
    places = resolve_places(str(tmp_path), {}, tmp_path)

    with pytest.raises(LeaseForbidden) as refused, lease_for(places, 0.0, environ, Stop(), print).held():
        pytest.fail("nobody gave it")

    assert "texts/one" in refused.value.message
    assert "service account" in refused.value.remedy
    assert refused.value.reason.exit_code == 31
