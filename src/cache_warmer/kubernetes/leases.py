"""A Lease by `CoordinationV1Api`: what the API server says, in the words of `lease.lease_api`.

Documents go and come as JSON: the client's own classes write times without fractions of a second in a form that the API
server refuses.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from cache_warmer.lease.base import ApiAwayError, ApiConflictError, ApiRefusedError, LeaseState

# To connect, and to answer.
_SECONDS: Final = (2.0, 3.0)
_CONFLICT, _NOT_FOUND, _REFUSED = 409, 404, frozenset({401, 403})


class ClusterLeaseApi:
    """One Lease of a namespace; `api` is a `kubernetes.client.ApiClient`."""

    def __init__(self, api: Any, namespace: str, name: str) -> None:  # the client's own class has no types
        from kubernetes import client

        self._leases: Any = client.CoordinationV1Api(api)
        self._namespace, self._name = namespace, name

    def read(self) -> LeaseState | None:
        """See `LeaseApi`."""
        try:
            return self._ask(self._leases.read_namespaced_lease, self._name, self._namespace)
        except _NotFoundError:
            return None

    def create(self, wanted: LeaseState) -> LeaseState:
        """See `LeaseApi`."""
        try:
            return self._ask(self._leases.create_namespaced_lease, self._namespace, self._document(wanted))
        except _NotFoundError as error:  # the namespace goes
            raise ApiRefusedError(str(error)) from error

    def replace(self, wanted: LeaseState) -> LeaseState:
        """See `LeaseApi`."""
        document = self._document(wanted)
        try:
            return self._ask(self._leases.replace_namespaced_lease, self._name, self._namespace, document)
        except _NotFoundError as error:
            raise ApiConflictError(str(error)) from error

    def _document(self, wanted: LeaseState) -> dict[str, Any]:
        metadata = {"name": self._name, "namespace": self._namespace}
        if wanted.version:
            metadata |= {"resourceVersion": wanted.version, "uid": wanted.uid}
        spec = {
            "holderIdentity": wanted.holder or None,
            "leaseDurationSeconds": wanted.seconds,
            "leaseTransitions": wanted.transitions,
            "acquireTime": _written(wanted.acquired),
            "renewTime": _written(wanted.renewed),
        }
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {name: value for name, value in spec.items() if value is not None},
        }

    def _ask(self, call: Any, *arguments: Any) -> LeaseState:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = call(*arguments, _preload_content=False, _request_timeout=_SECONDS)
            return _state(json.loads(answer.data))
        except ApiException as error:
            said = f"{error.status} {error.reason}{_message(error.body)}"
            if error.status == _NOT_FOUND:
                raise _NotFoundError(said) from error
            if error.status == _CONFLICT:
                raise ApiConflictError(said) from error
            if error.status in _REFUSED:
                raise ApiRefusedError(said) from error
            raise ApiAwayError(said) from error
        except (HTTPError, OSError, ValueError, KeyError) as error:
            text = str(error).strip() or type(error).__name__
            raise ApiAwayError(text.splitlines()[0]) from error


class _NotFoundError(Exception):
    pass


def _state(document: dict[str, Any]) -> LeaseState:
    metadata, spec = document["metadata"], document.get("spec") or {}
    return LeaseState(
        holder=spec.get("holderIdentity") or "",
        seconds=int(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        acquired=_read(spec.get("acquireTime")),
        renewed=_read(spec.get("renewTime")),
        version=metadata["resourceVersion"],
        uid=metadata["uid"],
    )


def _message(body: object) -> str:
    try:
        return f": {json.loads(str(body))['message']}"
    except (ValueError, KeyError, TypeError):
        return ""


def _written(time: datetime | None) -> str | None:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time else None


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
