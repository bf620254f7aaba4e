"""Errors of the warmer. Each leaf is one reason of the contract, with its exit code.

* ModelCacheError              (model_cache.errors) carries reason, message, remedy
    - HubError                 the source of a model, or the way to it
        - HubUnauthorized      HUB_UNAUTHORIZED    401, 403, gated
        - HubNotFound          HUB_NOT_FOUND       no such repository, revision or file
        - HubUnreachable       HUB_UNREACHABLE     name, connection, proxy, redirect loop, not a hub's answer
        - HubUntrusted         HUB_UNTRUSTED       certificate
        - HubBusy              HUB_BUSY            429 or 5xx after all retries
        - HubStalled           HUB_STALLED         no byte for the stall time, after all retries
        - ContentMismatch      CONTENT_MISMATCH    size, hash or name is not what was promised
    - ArchiveInvalid           CONTENT_MISMATCH    an archive is not what it says, cut short or unsafe
    - VolumeError              the place that the cache lies in
        - NoSpace              NO_SPACE            bytes or inodes
        - NoPermission         NO_PERMISSION       not writable, read-only, input/output error
        - VolumeUnsuitable     VOLUME_UNSUITABLE   what the cache needs does not work there
    - LeaseError               the right to write
        - LeaseHeld            LEASE_HELD          another writer, for longer than we were told to wait
        - LeaseLost            LEASE_LOST          another writer took over meanwhile
        - LeaseForbidden       NO_PERMISSION       the pod's account may not use the Lease
    - Interrupted              INTERRUPTED         SIGINT or SIGTERM; what was fetched stays
"""

from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason


class HubError(ModelCacheError):
    """The source of a model, or the way to it."""


class HubUnauthorized(HubError):
    """The hub wants a token, or the token may not read this repository."""

    reason = Reason.HUB_UNAUTHORIZED


class HubNotFound(HubError):
    """The hub has no such repository, revision or file."""

    reason = Reason.HUB_NOT_FOUND


class HubUnreachable(HubError):
    """Nothing that is a hub answered."""

    reason = Reason.HUB_UNREACHABLE


class HubUntrusted(HubError):
    """The certificate of the hub is not trusted."""

    reason = Reason.HUB_UNTRUSTED


class HubBusy(HubError):
    """The hub answered 429 or 5xx until the retries ran out."""

    reason = Reason.HUB_BUSY
    # Seconds that the hub asked to wait, where it said.
    retry_after: float | None = None


class HubStalled(HubError):
    """The hub sent nothing for the stall time until the retries ran out."""

    reason = Reason.HUB_STALLED


class ContentMismatch(HubError):
    """What arrived, or what the hub promises, is not what the catalog, the lock or the hub says."""

    reason = Reason.CONTENT_MISMATCH


class ArchiveInvalid(ModelCacheError):
    """An archive is not what it says, was cut short, or would write where it must not."""

    reason = Reason.CONTENT_MISMATCH


class VolumeError(ModelCacheError):
    """The place that the cache lies in."""


class NoSpace(VolumeError):
    """Bytes or inodes do not suffice, or ran out."""

    reason = Reason.NO_SPACE


class NoPermission(VolumeError):
    """A place cannot be written, or a file in it cannot be read."""

    reason = Reason.NO_PERMISSION


class VolumeUnsuitable(VolumeError):
    """Something that the cache needs does not work in that place."""

    reason = Reason.VOLUME_UNSUITABLE


class LeaseError(ModelCacheError):
    """The right to write to the cache."""


class LeaseHeld(LeaseError):
    """Another writer holds it."""

    reason = Reason.LEASE_HELD


class LeaseLost(LeaseError):
    """Another writer took over while we worked."""

    reason = Reason.LEASE_LOST


class LeaseForbidden(LeaseError):
    """The account of this pod may not use the Lease that guards its claim."""

    reason = Reason.NO_PERMISSION


class Interrupted(ModelCacheError):
    """A signal ended the run; staged bytes and finished files stay."""

    reason = Reason.INTERRUPTED

    def __init__(self) -> None:
        super().__init__(
            "interrupted; what was fetched is kept", "run the same command again: it goes on from there"
        )
