"""Identity of this cluster or host, which references carry (`model_cache.references`).

A cluster has no name of its own. The uid of the namespace `kube-system` identifies it as long as it exists; where this
pod may not read that, the uid of its claim identifies it well enough: two clusters that mount one volume have a claim
each. The chart lets the warmer read its claim; a cluster role for `kube-system` is left to the administrator.

Both are asked for, because one may be unreadable for a while: a reference is of this cluster if it carries either.
A host is identified by a hash of its machine id, which is not to leave the host itself (machine-id(5)). Containers have
none; then references of one name share one file, as before.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from cache_warmer.kubernetes.events import ClusterApi
from cache_warmer.kubernetes.pod import CLAIM, NAMESPACE
from model_cache.file_io import read_small_file

_LOG: Final = logging.getLogger(__name__)
_MACHINE_ID: Final = Path("/etc/machine-id")
_MACHINE_ID_FORM: Final = re.compile(rb"[0-9a-f]{32}")
_MAX_MACHINE_ID_BYTES: Final = 100
# Hex digits of the identity that is derived from it.
_IDENTITY_DIGITS: Final = 32
_MAX_MESSAGE: Final = 200
_SYSTEM_NAMESPACE: Final = "kube-system"


def cluster_identities(environ: Mapping[str, str], connect: Callable[[], ClusterApi]) -> tuple[str, ...]:
    """Return the identities of the cluster of this pod, the best one first; none outside a cluster.

    Args:
        environ: names the namespace and the claim, in a pod of the chart.
        connect: returns the API server.
    """
    namespace, claim = environ.get(NAMESPACE, ""), environ.get(CLAIM, "")
    if not namespace:
        return ()
    objects = [("Namespace", "", _SYSTEM_NAMESPACE)]
    if claim:
        objects.append(("PersistentVolumeClaim", namespace, claim))
    try:
        cluster = connect()
    except Exception as error:  # noqa: BLE001  # no token, no client: the reference has no identity then
        _LOG.info("the cluster cannot be identified: %s", _shortened(error))
        return ()
    return tuple(_read_uids(cluster, objects))


def host_identity(machine_id: Path = _MACHINE_ID) -> str:
    """Return the identity of this host; empty if it has none."""
    try:
        content = read_small_file(machine_id, _MAX_MACHINE_ID_BYTES).strip()
    except OSError:
        return ""
    if not _MACHINE_ID_FORM.fullmatch(content):  # empty, or "uninitialized", in an image
        return ""
    return hashlib.sha256(b"qda-worker host " + content).hexdigest()[:_IDENTITY_DIGITS]


def _read_uids(cluster: ClusterApi, objects: list[tuple[str, str, str]]) -> Iterator[str]:
    for kind, namespace, name in objects:
        try:
            uid = cluster.uid(kind, namespace, name)
        except Exception as error:  # noqa: BLE001  # no rights, no API server: the next one may do
            _LOG.info("%s %s cannot be read to identify the cluster: %s", kind, name, _shortened(error))
            continue
        if uid:
            yield f"{kind}:{uid}"


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:_MAX_MESSAGE]
