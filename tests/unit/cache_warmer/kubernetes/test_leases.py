"""The Lease as it is sent to an API server: owned by its claim, and with its owners kept."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest
from kubernetes import client

from cache_warmer.kubernetes.leases import ClusterLeaseApi
from cache_warmer.lease.base import LeaseState

LEASE: Final = LeaseState("pod", 60)
OWNER: Final = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "models", "uid": "uid of models"}


class ApiServer(http.server.BaseHTTPRequestHandler):
    """Stores one Lease; knows the claim `models` only."""

    lease: dict[str, Any] | None = None

    def do_GET(self) -> None:
        if self.path.endswith("/persistentvolumeclaims/models"):
            self._answer(200, {"metadata": {"name": "models", "uid": OWNER["uid"]}})
        elif self.lease is not None and "/leases/" in self.path:
            self._answer(200, self.lease)
        else:
            self._answer(404, {"message": "not found"})

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content["metadata"] |= {"resourceVersion": "1", "uid": "uid of the Lease"}
        type(self).lease = content
        self._answer(201, content)

    do_PUT = do_POST  # noqa: N815  # the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def api() -> Iterator[client.ApiClient]:
    ApiServer.lease = None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        configuration = client.Configuration(host=f"http://127.0.0.1:{server.server_port}")
        yield client.ApiClient(configuration)
        server.shutdown()


def test_a_new_lease_is_owned_by_its_claim_and_keeps_the_owner_when_it_is_replaced(
    api: client.ApiClient,
) -> None:
    leases = ClusterLeaseApi(api, "texts", "models-writer", "models")

    created = leases.create(LEASE)
    assert created.owners == (OWNER,)
    assert leases.replace(created).owners == (OWNER,)
    assert leases.read() == created


@pytest.mark.parametrize("claim", ["", "unknown"])
def test_without_a_claim_that_can_be_read_a_lease_has_no_owner(api: client.ApiClient, claim: str) -> None:
    leases = ClusterLeaseApi(api, "texts", "models-writer", claim)

    assert leases.create(LEASE).owners == ()
    assert ApiServer.lease is not None
    assert "ownerReferences" not in ApiServer.lease["metadata"]
