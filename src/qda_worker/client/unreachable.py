"""Why no connection comes about, in words that say what to do: gRPC's own are those of its TLS library.

Matched by the parts of its messages that stayed the same from gRPC 1.71 to 1.85.
"""

from __future__ import annotations

from qda_worker.client import errors

_OTHER_NAME = (
    "the worker's certificate is made out to another name than the target's",
    "call the worker by the name in its certificate, or tell that name (`--tls-server-name`, `server_name`)",
)
_TLS = (
    (
        "certificate has expired",
        "the worker's certificate has expired",
        "renew the worker's certificate; it is used without a restart",
    ),
    (
        "certificate is not yet valid",
        "the worker's certificate is not valid yet",
        "compare the clocks of both machines, and the certificate's dates",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the worker's certificate is not signed by an authority that this client trusts",
        "name the file of the authority that signed it: `--tls-ca FILE`, or `Tls(ca=…)`",
    ),
    ("Hostname Verification Check failed", *_OTHER_NAME),
    ("is not in peer certificate", *_OTHER_NAME),  # gRPC 1.71
    (
        "WRONG_VERSION_NUMBER",
        "the target does not speak TLS",
        "connect in plain text (leave the options of TLS out), or give the worker its `--tls-cert` and `--tls-key`",
    ),
)
# Before "andshake failed", which stands in most of the above, too.

_CLOSED = ("Socket closed", "Connection reset", "End of TCP stream", "Broken pipe")


def not_reachable(what: str, target: str) -> errors.NotReachable:
    """The error that tells about a failed connection; `what` is gRPC's account of it."""
    for mark, cause, remedy in _TLS:
        if mark in what:
            return errors.TlsFailed(f"no connection to {target}: {cause}", target=target, remedy=remedy)
    if "andshake failed" in what:
        return errors.TlsFailed(f"no connection to {target}: {what}", target=target)
    if any(mark in what for mark in _CLOSED):
        # A worker that wants TLS, or a client's certificate, closes the connection without a word.
        remedy = (
            "see whether the worker runs; if it wants TLS, connect with `--tls-ca FILE`, and if it wants to know who "
            "calls, with `--tls-cert FILE --tls-key FILE` that its authority signed"
        )
        return errors.NotReachable(
            f"the worker at {target} closed the connection: {what}", target=target, remedy=remedy
        )
    return errors.NotReachable(f"no worker answers at {target}: {what}", target=target)
