"""`LeaseApi` over the Kubernetes client: one Lease object by `CoordinationV1Api`.

Translates HTTP status codes to the errors of `lease.base`: 409 is a conflict, 401 and 403 are forbidden, and
everything else (timeouts, 5xx, an answer that cannot be parsed) means that the API server is unavailable.

A new Lease is owned by its claim, so Kubernetes deletes it with the claim. It stays when a release is uninstalled and
its claim is kept, because other releases may use both. A Lease that exists keeps its owners: some clusters allow only
those who may delete an object to change them.

Documents are sent and read as JSON. The client's own classes write times without a fraction of a second in a form
that the API server refuses.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cache_warmer.kubernetes.client import REQUEST_TIMEOUT
from cache_warmer.lease.base import ApiConflictError, ApiForbiddenError, ApiUnavailableError, LeaseState

_LOG: Final = logging.getLogger(__name__)
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404
_FORBIDDEN: Final = frozenset({401, 403})


class ClusterLeaseApi:
    """Access to one Lease of a namespace.

    Args:
        api: a `kubernetes.client.ApiClient`.
        namespace, name: those of the Lease object.
        claim: the claim in that namespace that owns a new Lease; empty: none.
    """

    def __init__(
        self, api: Any, namespace: str, name: str, claim: str = ""
    ) -> None:  # the class has no types
        from kubernetes import client

        self._leases: Any = client.CoordinationV1Api(api)
        self._core: Any = client.CoreV1Api(api)
        self._namespace, self._name, self._claim = namespace, name, claim

    def read(self) -> LeaseState | None:
        """See `LeaseApi`."""
        try:
            return self._request(self._leases.read_namespaced_lease, self._name, self._namespace)
        except _NotFoundError:
            return None

    def create(self, lease: LeaseState) -> LeaseState:
        """See `LeaseApi`."""
        document = self._to_document(dataclasses.replace(lease, owners=self._owners()))
        try:
            return self._request(self._leases.create_namespaced_lease, self._namespace, document)
        except _NotFoundError as error:  # the namespace is being deleted
            raise ApiForbiddenError(str(error)) from error

    def replace(self, lease: LeaseState) -> LeaseState:
        """See `LeaseApi`."""
        document = self._to_document(lease)
        try:
            return self._request(self._leases.replace_namespaced_lease, self._name, self._namespace, document)
        except _NotFoundError as error:
            raise ApiConflictError(str(error)) from error

    def _owners(self) -> tuple[Mapping[str, object], ...]:
        """Return the claim as an owner; none if it cannot be read, because a Lease also works without one."""
        if not self._claim:
            return ()
        try:
            claim = self._core.read_namespaced_persistent_volume_claim(
                self._claim, self._namespace, _request_timeout=REQUEST_TIMEOUT
            )
            uid = str(claim.metadata.uid)
        except Exception as error:  # noqa: BLE001  # no rights, no API server
            _LOG.info("the claim %s cannot be read to own the Lease: %s", self._claim, _first_line(error))
            return ()
        return ({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": self._claim, "uid": uid},)

    def _to_document(self, lease: LeaseState) -> dict[str, Any]:
        metadata: dict[str, object] = {"name": self._name, "namespace": self._namespace}
        if lease.owners:
            metadata["ownerReferences"] = list(lease.owners)
        if lease.resource_version:
            metadata |= {"resourceVersion": lease.resource_version, "uid": lease.uid}
        spec = {
            "holderIdentity": lease.holder or None,
            "leaseDurationSeconds": lease.duration_seconds,
            "leaseTransitions": lease.transitions,
            "acquireTime": _format_time(lease.acquire_time),
            "renewTime": _format_time(lease.renew_time),
        }
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {name: value for name, value in spec.items() if value is not None},
        }

    def _request(self, call: Any, *arguments: Any) -> LeaseState:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = call(*arguments, _preload_content=False, _request_timeout=REQUEST_TIMEOUT)
            return _from_document(json.loads(answer.data))
        except ApiException as error:
            message = f"{error.status} {error.reason}{_server_message(error.body)}"
            if error.status == _NOT_FOUND:
                raise _NotFoundError(message) from error
            if error.status == _CONFLICT:
                raise ApiConflictError(message) from error
            if error.status in _FORBIDDEN:
                raise ApiForbiddenError(message) from error
            raise ApiUnavailableError(message) from error
        except (HTTPError, OSError, ValueError, KeyError) as error:
            raise ApiUnavailableError(_first_line(error)) from error


class _NotFoundError(Exception):
    pass


def _from_document(document: dict[str, Any]) -> LeaseState:
    metadata, spec = document["metadata"], document.get("spec") or {}
    return LeaseState(
        holder=spec.get("holderIdentity") or "",
        duration_seconds=int(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        acquire_time=_parse_time(spec.get("acquireTime")),
        renew_time=_parse_time(spec.get("renewTime")),
        resource_version=metadata["resourceVersion"],
        uid=metadata["uid"],
        owners=tuple(metadata.get("ownerReferences") or ()),
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _server_message(body: object) -> str:
    """Return the message in the body of an error (a `Status` object), after a colon; empty if there is none."""
    try:
        return f": {json.loads(str(body))['message']}"
    except (ValueError, KeyError, TypeError):
        return ""


def _format_time(time: datetime | None) -> str | None:
    """Return a time as `MicroTime` has it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time else None


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
