"""What the chart tells the warmer of the Job or the shell that it runs in; nothing of it is set outside a cluster."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from cache_warmer.errors import HubUnauthorized

NAMESPACE = "QDA_KUBERNETES_NAMESPACE"
JOB = "QDA_KUBERNETES_JOB"
DEPLOYMENT = "QDA_KUBERNETES_DEPLOYMENT"
LEASE = "QDA_KUBERNETES_LEASE"
"""Name of the Lease that guards the claim, in the pod's namespace, where the claim is, too."""
TOKEN_SECRET = "QDA_TOKEN_SECRET"  # noqa: S105  # a variable's name
"""``NAME/KEY`` of the Secret that ``HF_TOKEN`` was to come from."""
TOKEN = "HF_TOKEN"  # noqa: S105  # the same


@dataclass(frozen=True, slots=True)
class OwnObjects:
    """The Job that this process runs in (empty: the shell), and the Deployment that waits for its cache, if any."""

    namespace: str
    job: str
    deployment: str = ""


def own_objects(environ: Mapping[str, str]) -> OwnObjects | None:
    """Return what this process tells its progress to, or None outside a cluster."""
    found = OwnObjects(environ.get(NAMESPACE, ""), environ.get(JOB, ""), environ.get(DEPLOYMENT, ""))
    return found if found.namespace and (found.job or found.deployment) else None


def holder_name(environ: Mapping[str, str]) -> str:
    """Return what this process is called where people look: ``pod NAME``, or ``process 7 on HOST``."""
    host = socket.gethostname()
    return f"pod {host}" if environ.get(NAMESPACE) else f"process {os.getpid()} on {host}"


def demand_token(environ: Mapping[str, str]) -> None:
    """Raise ``HubUnauthorized`` if a Secret was to give a token and gave none.

    The pod template calls the Secret optional: Kubernetes would otherwise never start the container, and say why
    only in the events of a pod that nobody looks at.
    """
    secret = environ.get(TOKEN_SECRET, "")
    if not secret or environ.get(TOKEN, "").strip():
        return
    name, _, key = secret.partition("/")
    namespace = environ.get(NAMESPACE, "")
    place = f"-n {namespace} " if namespace else ""
    where = f" in namespace {namespace}" if namespace else ""
    raise HubUnauthorized(
        f"hub.tokenSecret names the Secret {name!r}, but{where} it, or its key {key!r}, is missing or empty",
        f"make it with `kubectl {place}create secret generic {name} --from-literal={key}=TOKEN` (or name another "
        "key with hub.tokenSecretKey), then raise cacheWarmer.rerun; without hub.tokenSecret no token is used",
    )
