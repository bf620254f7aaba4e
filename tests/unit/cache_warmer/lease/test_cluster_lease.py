"""One Lease has one holder; a holder that lost it publishes nothing; an API server may be away for a while."""

import dataclasses
import threading
from contextlib import ExitStack

import pytest

from cache_warmer.errors import Interrupted, LeaseForbidden, LeaseHeld, LeaseLost
from cache_warmer.lease.base import ApiForbiddenError, ApiUnavailableError
from cache_warmer.lease.cluster_lease import LeaseTiming
from tests.support.fake_leases import Clock, FakeLeases, cluster_lease


@pytest.fixture
def api() -> FakeLeases:
    return FakeLeases()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_free_lease_is_acquired_and_released(api: FakeLeases, clock: Clock) -> None:
    with cluster_lease(api, clock).held():
        assert api.state is not None
        assert (api.state.holder, api.state.duration_seconds, api.state.transitions) == ("pod-a_1", 60, 0)

    assert api.state.holder == ""
    with cluster_lease(api, clock, "pod-b_2").held():
        assert (api.state.holder, api.state.transitions) == ("pod-b_2", 1)


def test_a_second_process_gets_the_holder_and_its_times_in_the_error(api: FakeLeases, clock: Clock) -> None:
    holder = r"pod pod-a since 2026-01-02 03:04:05 UTC \(last renewed 7 s ago\)"
    with cluster_lease(api, clock).held():
        clock.sleep(7)
        with pytest.raises(LeaseHeld, match=holder), cluster_lease(api, clock, "pod-b_2").held():
            pytest.fail("both hold it")


def test_a_second_process_acquires_it_soon_after_the_release(api: FakeLeases, clock: Clock) -> None:
    with ExitStack() as first:
        first.enter_context(cluster_lease(api, clock).held())

        def end() -> None:
            if clock.seconds > 1010:
                first.close()

        clock.meanwhile = end
        with cluster_lease(api, clock, "pod-b_2", timeout=60).held():
            assert clock.seconds <= 1014
            assert len(clock.notices) == 1
            assert "pod pod-a since" in clock.notices[0]


def test_a_silent_holder_is_replaced_by_the_clock_of_the_waiting_process(
    api: FakeLeases, clock: Clock
) -> None:
    with cluster_lease(api, clock).held():
        assert api.state is not None
        assert api.state.renew_time is not None
        wrong_time = api.state.renew_time.replace(year=2031)  # the holder's clock is wrong
        api.state = dataclasses.replace(api.state, renew_time=wrong_time)
        started = clock.seconds

        with cluster_lease(api, clock, "pod-b_2", timeout=600).held():
            assert 60 <= clock.seconds - started <= 64
            assert (api.state.holder, api.state.transitions) == ("pod-b_2", 1)


def test_a_holder_that_renews_is_never_replaced(api: FakeLeases, clock: Clock) -> None:
    first = cluster_lease(api, clock)
    with first.held():

        def renew() -> None:
            assert api.state is not None
            api.state = dataclasses.replace(api.state, resource_version=f"{api.state.resource_version}+")

        clock.meanwhile = renew
        with pytest.raises(LeaseHeld), cluster_lease(api, clock, "pod-b_2", timeout=600).held():
            pytest.fail("both hold it")


def test_of_two_processes_that_acquire_it_at_once_one_gets_it(api: FakeLeases, clock: Clock) -> None:
    with cluster_lease(api, clock).held():
        pass
    with ExitStack() as other:

        def other_is_faster() -> None:
            api.before_replace = lambda: None
            other.enter_context(cluster_lease(api, clock, "pod-b_2").held())

        api.before_replace = other_is_faster
        with (
            pytest.raises(LeaseHeld, match="at the same moment"),
            cluster_lease(api, clock, "pod-c_3").held(),
        ):
            pytest.fail("both hold it")
        assert api.state is not None
        assert api.state.holder == "pod-b_2"


def test_a_holder_suspended_beyond_the_duration_finds_that_it_lost_it(api: FakeLeases, clock: Clock) -> None:
    suspended = cluster_lease(api, clock)
    with suspended.held():
        with cluster_lease(api, clock, "pod-b_2", timeout=600).held():
            for _ in range(2):
                with pytest.raises(LeaseLost, match="pod pod-b"):
                    suspended.check()
            assert clock.lost == 1
        assert api.state is not None
        released = api.state
    assert api.state == released, "a process that lost it does not change it"


def test_a_holder_suspended_while_no_other_waits_keeps_the_lease(api: FakeLeases, clock: Clock) -> None:
    with (held := cluster_lease(api, clock)).held():
        clock.sleep(3600)
        held.check()
        assert clock.lost == 0


def test_a_lease_that_was_deleted_is_lost(api: FakeLeases, clock: Clock) -> None:
    with (held := cluster_lease(api, clock)).held():
        api.state = None
        clock.sleep(61)
        with pytest.raises(LeaseLost, match="deleted"):
            held.check()
    assert api.state is None


def test_a_renewal_whose_answer_got_lost_does_not_lose_the_lease(api: FakeLeases, clock: Clock) -> None:
    with (held := cluster_lease(api, clock)).held():
        assert api.state is not None
        api.state = dataclasses.replace(api.state, resource_version="of the renewal whose answer got lost")
        clock.sleep(61)
        held.check()
        assert api.state.renew_time is not None
        assert clock.lost == 0


def test_an_api_server_that_is_away_for_a_minute_does_not_end_the_run(api: FakeLeases, clock: Clock) -> None:
    with (held := cluster_lease(api, clock)).held():
        api.failure = ApiUnavailableError("connection refused")

        def back() -> None:
            if clock.seconds >= 1075:
                api.failure = None

        clock.sleep(65)
        clock.meanwhile = back
        held.check()

        assert 1075 <= clock.seconds < 1080
        assert clock.lost == 0


def test_an_api_server_that_stays_away_loses_the_lease(api: FakeLeases, clock: Clock) -> None:
    with (held := cluster_lease(api, clock)).held():
        api.failure = ApiUnavailableError("connection refused")
        clock.sleep(61)
        with pytest.raises(LeaseLost, match=r"could not be renewed for 1\d\d s: connection refused"):
            held.check()
        assert clock.seconds - 1000 >= 120


def test_a_release_waits_for_an_api_server_that_is_away(api: FakeLeases, clock: Clock) -> None:
    with cluster_lease(api, clock).held():
        api.failure = ApiUnavailableError("connection refused")

        def back() -> None:
            if clock.seconds >= 1030:
                api.failure = None

        clock.meanwhile = back

    assert api.state is not None
    assert api.state.holder == ""
    assert 1030 <= clock.seconds < 1034


def test_a_release_is_given_up_after_the_duration_of_the_lease(
    api: FakeLeases, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "cache_warmer"), cluster_lease(api, clock).held():
        clock.sleep(50)
        api.failure = ApiUnavailableError("connection refused")

    assert 60 <= clock.seconds - 1050 < 64
    assert "could not be released (connection refused): it expires in 60 s" in caplog.text


def test_a_run_that_is_to_stop_tries_the_release_once(
    api: FakeLeases, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def stop() -> None:
        raise Interrupted

    with caplog.at_level("WARNING", "cache_warmer"), cluster_lease(api, clock).held():
        api.failure = ApiUnavailableError("connection refused")
        clock.meanwhile = stop

    assert clock.seconds == 1002
    assert "could not be released" in caplog.text


def test_before_the_acquisition_an_api_server_that_is_away_is_waited_for(
    api: FakeLeases, clock: Clock
) -> None:
    api.failure = ApiUnavailableError("no route to host")
    with pytest.raises(LeaseHeld, match="no route to host"), cluster_lease(api, clock, timeout=5).held():
        pytest.fail("it was acquired")

    clock.meanwhile = lambda: setattr(api, "failure", None)
    with cluster_lease(api, clock, timeout=5).held():
        assert api.state is not None


def test_an_account_without_permission_gets_a_remedy_at_once(api: FakeLeases, clock: Clock) -> None:
    api.failure = ApiForbiddenError("403 Forbidden: cannot get leases")
    with (
        pytest.raises(LeaseForbidden, match="cannot get leases") as refused,
        cluster_lease(api, clock, timeout=60).held(),
    ):
        pytest.fail("it was acquired")
    assert "service account" in refused.value.remedy
    assert clock.seconds == 1000, "waiting does not help"


def test_it_is_renewed_while_it_is_held_and_not_afterwards(api: FakeLeases, clock: Clock) -> None:
    # The end waits for the renewing thread for one retry period.
    timing = LeaseTiming(duration=60, renew_interval=0.001, retry_period=10.0)
    with cluster_lease(api, clock, timing=timing).held():
        for _ in range(3):
            api.replaced.clear()
            assert api.replaced.wait(10)
    assert api.state is not None
    released = api.state

    assert not [one for one in threading.enumerate() if one.name == "lease"]
    assert api.state == released


def test_a_run_that_was_interrupted_by_a_lost_lease_reports_the_loss(api: FakeLeases, clock: Clock) -> None:
    def run(leases: FakeLeases, *, lose: bool) -> None:
        with (held := cluster_lease(leases, clock)).held():
            assert leases.state is not None
            if lose:
                leases.state = dataclasses.replace(
                    leases.state, holder="b", transitions=1, resource_version="b"
                )
                clock.sleep(61)
                with pytest.raises(LeaseLost):
                    held.check()
            raise Interrupted

    with pytest.raises(LeaseLost):
        run(api, lose=True)
    with pytest.raises(Interrupted):
        run(FakeLeases(), lose=False)
