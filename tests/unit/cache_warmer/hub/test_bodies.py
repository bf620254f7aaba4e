"""Size and hash of a remote body: the file counts, not the form in which it travels."""

import hashlib

import httpx2

from cache_warmer.hub.bodies import body_sha256, body_size
from tests.support.compressing_server import CONTENT, CompressingServer


def test_size_and_hash_are_never_those_of_the_compressed_form() -> None:
    server = CompressingServer(ranges=True, length=True)
    with httpx2.Client(transport=httpx2.MockTransport(server)) as http:
        assert body_size(http, "http://hub.invalid", "a file") is None
        assert body_sha256(http, "http://hub.invalid", "a file") == hashlib.sha256(CONTENT).hexdigest()
