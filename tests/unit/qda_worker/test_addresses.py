"""Addresses to listen on: parsing, formatting and errors."""

import pytest

from qda_worker.addresses import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::]:50051", Address("::", 50051)),
        ("localhost:65535", Address("localhost", 65535)),
        ("unix:/run/qda.sock", Address("unix:/run/qda.sock", None)),
    ],
)
def test_an_address_is_parsed_and_formatted_alike(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "50051", ":50051", "host:", "host:http", "::1:50051", "host:65536", "host:-1"]
)
def test_a_wrong_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:50051"):
        parse_address(text)
