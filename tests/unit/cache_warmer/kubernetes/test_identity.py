"""The identity of a cluster or host, and what it falls back to."""

from pathlib import Path
from typing import Final

import pytest

from cache_warmer.kubernetes.identity import cluster_identities, host_identity
from tests.support.fake_cluster import FakeCluster

POD: Final = {"QDA_KUBERNETES_NAMESPACE": "ns", "QDA_KUBERNETES_CLAIM": "models"}


class WithoutSystemNamespace(FakeCluster):
    def uid(self, kind: str, namespace: str, name: str) -> str:
        if kind == "Namespace":
            raise PermissionError("forbidden")
        return super().uid(kind, namespace, name)


def test_the_system_namespace_comes_first_and_the_claim_counts_as_well() -> None:
    assert cluster_identities(POD, FakeCluster) == (
        "Namespace:uid of Namespace /kube-system",
        "PersistentVolumeClaim:uid of PersistentVolumeClaim ns/models",
    )


def test_where_the_system_namespace_cannot_be_read_the_claim_counts() -> None:
    assert cluster_identities(POD, WithoutSystemNamespace) == (
        "PersistentVolumeClaim:uid of PersistentVolumeClaim ns/models",
    )


def test_without_an_api_server_there_is_no_identity() -> None:
    assert cluster_identities(POD, lambda: FakeCluster(OSError("down"))) == ()


def test_outside_a_cluster_nothing_is_asked() -> None:
    assert cluster_identities({}, lambda: pytest.fail("asked")) == ()


@pytest.mark.parametrize(
    ("content", "is_known"),
    [
        (b"0123456789abcdef0123456789abcdef\n", True),
        (b"uninitialized\n", False),
        (b"", False),
        (b"\xff" * 32, False),
        (b"0" * 10_000, False),
        (None, False),
    ],
)
def test_a_host_has_the_identity_of_its_machine_id(
    tmp_path: Path, content: bytes | None, is_known: bool
) -> None:
    path = tmp_path / "machine-id"
    if content is not None:
        path.write_bytes(content)

    assert bool(host_identity(path)) is is_known
    assert "0123456789abcdef" not in host_identity(path), "the machine id itself stays on the host"
    assert host_identity(path) == host_identity(path)
