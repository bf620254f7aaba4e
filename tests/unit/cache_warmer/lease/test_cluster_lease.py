"""One Lease, one holder; who lost it publishes nothing; an API server that is away costs nobody his work."""

import dataclasses
import threading
from contextlib import ExitStack

import pytest

from cache_warmer.errors import Interrupted, LeaseForbidden, LeaseHeld, LeaseLost
from cache_warmer.lease.base import ApiAwayError, ApiRefusedError
from cache_warmer.lease.cluster_lease import LeaseTiming
from tests.support.fake_leases import Clock, FakeLeases, lease


@pytest.fixture
def api() -> FakeLeases:
    return FakeLeases()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_lease_that_is_free_is_taken_and_given_back(api: FakeLeases, clock: Clock) -> None:
    with lease(api, clock).held():
        assert api.state is not None
        assert (api.state.holder, api.state.seconds, api.state.transitions) == ("pod-a_1", 60, 0)

    assert api.state.holder == ""
    with lease(api, clock, "pod-b_2").held():
        assert (api.state.holder, api.state.transitions) == ("pod-b_2", 1)


def test_a_second_one_is_told_who_holds_it_and_since_when(api: FakeLeases, clock: Clock) -> None:
    said = r"pod pod-a since 2026-01-02 03:04:05 UTC \(last sign of life 7 s ago\)"
    with lease(api, clock).held():
        clock.sleep(7)
        with pytest.raises(LeaseHeld, match=said), lease(api, clock, "pod-b_2").held():
            pytest.fail("both hold it")


def test_a_second_one_waits_and_takes_it_as_soon_as_it_is_given_back(api: FakeLeases, clock: Clock) -> None:
    with ExitStack() as first:
        first.enter_context(lease(api, clock).held())

        def end() -> None:
            if clock.seconds > 1010:
                first.close()

        clock.meanwhile = end
        with lease(api, clock, "pod-b_2", patience=60).held():
            assert clock.seconds <= 1014
            assert len(clock.told) == 1
            assert "pod pod-a since" in clock.told[0]


def test_one_that_is_silent_is_taken_over_after_the_lease_s_time_by_the_clock_of_who_waits(
    api: FakeLeases, clock: Clock
) -> None:
    with lease(api, clock).held():
        assert api.state is not None
        assert api.state.renewed is not None
        years_ahead = api.state.renewed.replace(year=2031)  # the holder's clock is wrong
        api.state = dataclasses.replace(api.state, renewed=years_ahead)
        started = clock.seconds

        with lease(api, clock, "pod-b_2", patience=600).held():
            assert 60 <= clock.seconds - started <= 64
            assert (api.state.holder, api.state.transitions) == ("pod-b_2", 1)


def test_one_that_renews_is_never_taken_over(api: FakeLeases, clock: Clock) -> None:
    first = lease(api, clock)
    with first.held():

        def renew() -> None:
            assert api.state is not None
            api.state = dataclasses.replace(api.state, version=f"{api.state.version}+")

        clock.meanwhile = renew
        with pytest.raises(LeaseHeld), lease(api, clock, "pod-b_2", patience=600).held():
            pytest.fail("both hold it")


def test_of_two_that_take_it_at_the_same_moment_one_gets_it(api: FakeLeases, clock: Clock) -> None:
    with lease(api, clock).held():
        pass
    with ExitStack() as other:

        def other_is_faster() -> None:
            api.before_replace = lambda: None
            other.enter_context(lease(api, clock, "pod-b_2").held())

        api.before_replace = other_is_faster
        with pytest.raises(LeaseHeld, match="at the same moment"), lease(api, clock, "pod-c_3").held():
            pytest.fail("both hold it")
        assert api.state is not None
        assert api.state.holder == "pod-b_2"


def test_a_holder_that_was_frozen_past_its_lease_learns_that_it_lost_it(
    api: FakeLeases, clock: Clock
) -> None:
    frozen = lease(api, clock)
    with frozen.held():
        with lease(api, clock, "pod-b_2", patience=600).held():
            for _ in range(2):
                with pytest.raises(LeaseLost, match="pod pod-b"):
                    frozen.check()
            assert clock.lost == 1
        assert api.state is not None
        given_back = api.state
    assert api.state == given_back, "who lost it leaves it alone"


def test_a_holder_that_was_frozen_while_nobody_waited_goes_on(api: FakeLeases, clock: Clock) -> None:
    with (held := lease(api, clock)).held():
        clock.sleep(3600)
        held.check()
        assert clock.lost == 0


def test_a_lease_that_somebody_deleted_is_lost(api: FakeLeases, clock: Clock) -> None:
    with (held := lease(api, clock)).held():
        api.state = None
        clock.sleep(61)
        with pytest.raises(LeaseLost, match="deleted"):
            held.check()
    assert api.state is None


def test_an_answer_that_got_lost_is_no_loss_of_the_lease(api: FakeLeases, clock: Clock) -> None:
    with (held := lease(api, clock)).held():
        assert api.state is not None
        api.state = dataclasses.replace(api.state, version="of the renewal whose answer got lost")
        clock.sleep(61)
        held.check()
        assert api.state.renewed is not None
        assert clock.lost == 0


def test_an_api_server_that_is_gone_for_a_minute_is_ridden_out(api: FakeLeases, clock: Clock) -> None:
    with (held := lease(api, clock)).held():
        api.failure = ApiAwayError("connection refused")

        def back() -> None:
            if clock.seconds >= 1075:
                api.failure = None

        clock.sleep(65)
        clock.meanwhile = back
        held.check()

        assert 1075 <= clock.seconds < 1080
        assert clock.lost == 0


def test_an_api_server_that_stays_away_ends_the_right_to_publish(api: FakeLeases, clock: Clock) -> None:
    with (held := lease(api, clock)).held():
        api.failure = ApiAwayError("connection refused")
        clock.sleep(61)
        with pytest.raises(LeaseLost, match=r"could not be renewed for 1\d\d s: connection refused"):
            held.check()
        assert clock.seconds - 1000 >= 120


def test_before_the_lease_is_had_an_api_server_that_is_away_is_waited_for(
    api: FakeLeases, clock: Clock
) -> None:
    api.failure = ApiAwayError("no route to host")
    with pytest.raises(LeaseHeld, match="no route to host"), lease(api, clock, patience=5).held():
        pytest.fail("nobody gave it")

    clock.meanwhile = lambda: setattr(api, "failure", None)
    with lease(api, clock, patience=5).held():
        assert api.state is not None


def test_an_account_without_the_right_is_told_what_it_lacks(api: FakeLeases, clock: Clock) -> None:
    api.failure = ApiRefusedError("403 Forbidden: cannot get leases")
    with (
        pytest.raises(LeaseForbidden, match="cannot get leases") as refused,
        lease(api, clock, patience=60).held(),
    ):
        pytest.fail("nobody gave it")
    assert "service account" in refused.value.remedy
    assert clock.seconds == 1000, "waiting mends nothing"


def test_it_is_renewed_while_it_is_held_and_not_afterwards(api: FakeLeases, clock: Clock) -> None:
    with lease(api, clock, pace=LeaseTiming(lasts=60, renewal=0.001, retry=0.001)).held():
        for _ in range(3):
            api.replaced.clear()
            assert api.replaced.wait(10)
    assert api.state is not None
    given_back = api.state

    assert not [one for one in threading.enumerate() if one.name == "lease"]
    assert api.state == given_back


def test_a_run_that_was_stopped_because_the_lease_went_says_so(api: FakeLeases, clock: Clock) -> None:
    def run(leases: FakeLeases, *, lose: bool) -> None:
        with (held := lease(leases, clock)).held():
            assert leases.state is not None
            if lose:
                leases.state = dataclasses.replace(leases.state, holder="b", transitions=1, version="b")
                clock.sleep(61)
                with pytest.raises(LeaseLost):
                    held.check()
            raise Interrupted

    with pytest.raises(LeaseLost):
        run(api, lose=True)
    with pytest.raises(Interrupted):
        run(FakeLeases(), lose=False)
