"""The way to the API server from a pod, by the Kubernetes client; imported only in a cluster, for it takes a second."""

from typing import Any, Final, cast

from cache_warmer.kubernetes.events import Cluster

# To connect, and to answer: an API server that is away must not hold up a warm.
_SECONDS: Final = (2.0, 3.0)


def pod_client() -> Any:  # the client's own class has no types
    """Return the API client of the cluster that this pod runs in, by the pod's own service account.

    Raises `kubernetes.config.ConfigException` outside a cluster, or where the pod has no token.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.proxy = None  # the proxy of this environment leads to the hub
    configuration.retries = False
    return client.ApiClient(configuration)


def connect() -> Cluster:
    """Return the API server, for Events. Raises as `pod_client`."""
    return _ApiServer(pod_client())


class _ApiServer:
    def __init__(self, api: Any) -> None:  # the client's own class has no types
        self._api = api

    def uid(self, kind: str, namespace: str, name: str) -> str:
        from kubernetes import client

        read: Any = {
            "Job": client.BatchV1Api(self._api).read_namespaced_job,
            "Deployment": client.AppsV1Api(self._api).read_namespaced_deployment,
        }[kind]
        return cast(str, read(name, namespace, _request_timeout=_SECONDS).metadata.uid)

    def create_event(self, namespace: str, event: dict[str, Any]) -> None:
        from kubernetes import client

        create: Any = client.CoreV1Api(self._api).create_namespaced_event  # a dict is as good as its class
        create(namespace, event, _request_timeout=_SECONDS)
