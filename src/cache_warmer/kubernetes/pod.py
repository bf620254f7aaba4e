"""The pod that this process runs in, as the chart describes it in environment variables.

Outside a cluster none of the variables is set.
"""

import os
import socket
from collections.abc import Mapping
from typing import Final

from cache_warmer.errors import HubUnauthorized

# Namespace of the pod.
NAMESPACE: Final = "QDA_KUBERNETES_NAMESPACE"
# Name of the Job that this pod belongs to.
JOB: Final = "QDA_KUBERNETES_JOB"
# Name of the CronJob whose Job this pod belongs to, in place of that of the Job.
CRONJOB: Final = "QDA_KUBERNETES_CRONJOB"
# Name of the Deployment that waits for the cache.
DEPLOYMENT: Final = "QDA_KUBERNETES_DEPLOYMENT"
# Name of the Lease that guards the claim, in the namespace of the pod, which is that of the claim.
LEASE: Final = "QDA_KUBERNETES_LEASE"
# Name of the claim, in the same namespace.
CLAIM: Final = "QDA_KUBERNETES_CLAIM"
# `NAME/KEY` of the Secret from which `HF_TOKEN` is set.
TOKEN_SECRET: Final = "QDA_TOKEN_SECRET"  # noqa: S105  # a variable's name
TOKEN: Final = "HF_TOKEN"  # noqa: S105  # the same


def holder_identity(environ: Mapping[str, str]) -> str:
    """Return the name of this process for people: `pod NAME`, or `process 7 on HOST`."""
    host = socket.gethostname()
    return f"pod {host}" if environ.get(NAMESPACE) else f"process {os.getpid()} on {host}"


def require_token(environ: Mapping[str, str]) -> None:
    """Confirm that a configured Secret has set the token.

    The pod template marks the Secret as optional. Otherwise Kubernetes would never start the container, and the cause
    would be visible only in the events of the pod.

    Raises:
        HubUnauthorized: a Secret is configured, and it or its key is missing or empty.
    """
    secret = environ.get(TOKEN_SECRET, "")
    if not secret or environ.get(TOKEN, "").strip():
        return
    name, _, key = secret.partition("/")
    namespace = environ.get(NAMESPACE, "")
    option = f"-n {namespace} " if namespace else ""
    where = f" in namespace {namespace}" if namespace else ""
    raise HubUnauthorized(
        f"hub.tokenSecret names the Secret {name!r}, but{where} it, or its key {key!r}, is missing or empty",
        f"create it with `kubectl {option}create secret generic {name} --from-literal={key}=TOKEN` (or name another "
        "key with hub.tokenSecretKey), then raise cacheWarmer.rerun; without hub.tokenSecret no token is used",
    )
