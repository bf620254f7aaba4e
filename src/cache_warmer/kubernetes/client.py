"""The connection to the API server from inside a pod, with the Kubernetes client.

The client library takes a second to import, so it is imported inside functions: only in a cluster, and only when the
API server is needed. Requests are not retried and time out soon: an unavailable API server must not delay a warm.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from cache_warmer.kubernetes.events import ClusterApi, ClusterUnavailableError

# To connect, and to answer, in seconds.
REQUEST_TIMEOUT: Final = (2.0, 3.0)
_TOO_MANY_REQUESTS: Final = 429
_FIRST_SERVER_ERROR: Final = 500


def in_cluster_client() -> Any:  # the client's own class has no types
    """Return the client for the cluster of this pod, with the pod's own service account.

    Raises:
        kubernetes.config.ConfigException: outside a cluster, or if the pod has no token.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.proxy = None  # the proxy of the environment is for the hub
    configuration.retries = False
    return client.ApiClient(configuration)


def connect() -> ClusterApi:
    """Return the API server of the cluster of this pod. Raises as `in_cluster_client`."""
    return ApiServer(in_cluster_client())


class ApiServer:
    """`ClusterApi` over the Kubernetes client.

    Args:
        api: a `kubernetes.client.ApiClient`.
    """

    def __init__(self, api: Any) -> None:  # the client's own class has no types
        self._api = api

    def uid(self, kind: str, namespace: str, name: str) -> str:
        """See `ClusterApi`."""
        from kubernetes import client

        core = client.CoreV1Api(self._api)
        if kind == "Namespace":  # in no namespace itself
            with _unavailability():
                found: Any = core.read_namespace(name, _request_timeout=REQUEST_TIMEOUT)
            return cast(str, found.metadata.uid)
        read: Any = {
            "Job": client.BatchV1Api(self._api).read_namespaced_job,
            "CronJob": client.BatchV1Api(self._api).read_namespaced_cron_job,
            "Deployment": client.AppsV1Api(self._api).read_namespaced_deployment,
            "PersistentVolumeClaim": core.read_namespaced_persistent_volume_claim,
        }[kind]
        with _unavailability():
            return cast(str, read(name, namespace, _request_timeout=REQUEST_TIMEOUT).metadata.uid)

    def create_event(self, namespace: str, event: dict[str, Any]) -> None:
        """See `ClusterApi`."""
        from kubernetes import client

        create: Any = client.CoreV1Api(
            self._api
        ).create_namespaced_event  # accepts a dict in place of its class
        with _unavailability():
            create(namespace, event, _request_timeout=REQUEST_TIMEOUT)


@contextmanager
def _unavailability() -> Iterator[None]:
    """Raise `ClusterUnavailableError` for a failure that another try can solve; pass on all others."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status != _TOO_MANY_REQUESTS and (error.status or 0) < _FIRST_SERVER_ERROR:
            raise
        raise ClusterUnavailableError(f"{error.status} {error.reason}") from error
    except (HTTPError, OSError) as error:
        raise ClusterUnavailableError(str(error).strip() or type(error).__name__) from error
