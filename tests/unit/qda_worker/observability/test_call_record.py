"""Whom a call is charged to."""

from qda_worker.observability.call_record import CallRecord, peer_host


def test_a_call_is_charged_to_its_token_then_its_certificate_then_its_host() -> None:
    record = CallRecord("qda.v1.S/M", peer="ipv4:10.0.0.1:5", peer_name="analyst", principal="alice")
    assert record.charged_to == "alice"
    record.principal = ""
    assert record.charged_to == "analyst"
    record.peer_name = ""
    assert record.charged_to == "ipv4:10.0.0.1"


def test_only_the_port_of_a_peer_is_left_out() -> None:
    assert peer_host("ipv4:10.0.0.1:5") == "ipv4:10.0.0.1"
    assert peer_host("ipv6:%5B::1%5D:5") == "ipv6:%5B::1%5D"
    assert peer_host("ipv6:%5B::ffff:10.0.0.1%5D:5") == "ipv4:10.0.0.1"
    assert peer_host("unix:/run/qda.sock") == "unix:/run/qda.sock"
