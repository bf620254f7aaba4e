"""The errors of the warmer. Each leaf has one reason of `model_cache.reasons`, and so one exit code.

* ModelCacheError              (model_cache.errors) carries reason, message, remedy
    - HubError                 the source of a model, or the connection to it
        - HubUnauthorized      HUB_UNAUTHORIZED    401, 403, gated
        - HubNotFound          HUB_NOT_FOUND       no such repository, revision or file
        - HubUnreachable       HUB_UNREACHABLE     name, connection, proxy, redirect loop, not a hub's response
        - HubUntrusted         HUB_UNTRUSTED       certificate
        - HubBusy              HUB_BUSY            429 or 5xx after all retries
        - HubStalled           HUB_STALLED         no byte for the stall timeout, after all retries
        - ContentMismatch      CONTENT_MISMATCH    size, hash or name is not the expected one
    - ArchiveInvalid           CONTENT_MISMATCH    an archive is truncated, changed or unsafe
    - FormRefused              CONTENT_MISMATCH    a prepared form is not what its record says, or not of this cache
    - GateFailed               GATE_FAILED         a prepared form did not pass its accuracy gate
    - VolumeError              the file system that holds the cache
        - NoSpace              NO_SPACE            bytes or inodes
        - NoPermission         NO_PERMISSION       not writable, read-only, input/output error
        - VolumeUnsuitable     VOLUME_UNSUITABLE   an operation that the cache needs does not work there
        - VolumeUnavailable    VOLUME_UNAVAILABLE  it, or the system, failed for the moment
    - LeaseError               the right to write to the cache
        - LeaseHeld            LEASE_HELD          another writer holds it, for longer than `--wait`
        - LeaseLost            LEASE_LOST          another writer took it over during the run
        - LeaseForbidden       NO_PERMISSION       the pod's service account may not use the Lease
    - Interrupted              INTERRUPTED         SIGINT or SIGTERM; fetched bytes stay
"""

from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason


class HubError(ModelCacheError):
    """The source of a model, or the connection to it, failed."""


class HubUnauthorized(HubError):
    """The hub requires a token, or the token may not read this repository."""

    reason = Reason.HUB_UNAUTHORIZED


class HubNotFound(HubError):
    """The hub has no such repository, revision or file."""

    reason = Reason.HUB_NOT_FOUND


class HubUnreachable(HubError):
    """The hub cannot be reached, or the server at its address is not a hub."""

    reason = Reason.HUB_UNREACHABLE


class HubUntrusted(HubError):
    """The certificate of the hub is not trusted."""

    reason = Reason.HUB_UNTRUSTED


class HubBusy(HubError):
    """The hub answered 429 or 5xx until the retries ran out."""

    reason = Reason.HUB_BUSY
    # Seconds of the `Retry-After` header; None: the hub sent none.
    retry_after: float | None = None


class HubStalled(HubError):
    """The hub sent nothing for the stall timeout until the retries ran out."""

    reason = Reason.HUB_STALLED


class ContentMismatch(HubError):
    """The content, or what the hub announces, differs from the catalog, the lock or the hub's metadata."""

    reason = Reason.CONTENT_MISMATCH


class ArchiveInvalid(ModelCacheError):
    """An archive differs from its own manifest, is truncated, or has an unsafe path."""

    reason = Reason.CONTENT_MISMATCH


class FormRefused(ModelCacheError):
    """A prepared form differs from its own record, is unsafe, or was made from other files than the cache has."""

    reason = Reason.CONTENT_MISMATCH


class GateFailed(ModelCacheError):
    """A prepared form did not pass its accuracy gate."""

    reason = Reason.GATE_FAILED


class VolumeError(ModelCacheError):
    """The file system that holds the cache cannot be used."""


class NoSpace(VolumeError):
    """There are not enough free bytes or inodes, or they ran out."""

    reason = Reason.NO_SPACE


class NoPermission(VolumeError):
    """A folder cannot be written, or a file cannot be read."""

    reason = Reason.NO_PERMISSION


class VolumeUnsuitable(VolumeError):
    """An operation that the cache needs does not work on that file system."""

    reason = Reason.VOLUME_UNSUITABLE


class VolumeUnavailable(VolumeError):
    """The file system, or the system below it, did not do what was asked at that moment; another try can succeed."""

    reason = Reason.VOLUME_UNAVAILABLE


class LeaseError(ModelCacheError):
    """The right to write to the cache cannot be had, or was lost."""


class LeaseHeld(LeaseError):
    """Another writer holds the lease, for longer than this one may wait."""

    reason = Reason.LEASE_HELD


class LeaseLost(LeaseError):
    """Another writer took the lease over during the run."""

    reason = Reason.LEASE_LOST


class LeaseForbidden(LeaseError):
    """The service account of this pod may not use the Lease of its volume claim."""

    reason = Reason.NO_PERMISSION


class Interrupted(ModelCacheError):
    """A signal ended the run; staged bytes and complete files stay."""

    reason = Reason.INTERRUPTED

    def __init__(self) -> None:
        super().__init__(
            "interrupted; what was fetched is kept", "run the same command again; it continues from there"
        )
