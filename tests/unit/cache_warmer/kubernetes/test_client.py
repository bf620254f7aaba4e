"""The connection to the API server, outside a cluster."""

import pytest

from cache_warmer.kubernetes.client import connect


def test_outside_a_cluster_the_connection_is_refused() -> None:
    from kubernetes.config import ConfigException

    with pytest.raises(ConfigException):
        connect()
