"""What a lease needs of an API server: one object, that only whoever saw its last version can change."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A Lease of coordination.k8s.io/v1, as far as it matters here.

    Attributes:
        holder: who holds it; empty: nobody.
        seconds: how long after a renewal it is the holder's.
        transitions: how often it changed hands: the token that tells one holding from the next.
        acquired, renewed: by the holder's clock; None: never.
        version: what a change must have seen; empty for one that is to be created.
        uid: of the object; empty before it is created.
    """

    holder: str
    seconds: int
    transitions: int = 0
    acquired: datetime | None = None
    renewed: datetime | None = None
    version: str = ""
    uid: str = ""


class ApiConflictError(Exception):
    """Somebody else changed, made or deleted it meanwhile: read it again."""


class ApiAwayError(Exception):
    """No answer, or none that says anything about the lease; another try can help."""


class ApiRefusedError(Exception):
    """This account may not do that."""


class LeaseApi(Protocol):
    """One Lease. Each method raises ``ApiAwayError`` or ``ApiRefusedError``."""

    def read(self) -> LeaseState | None:
        """Return it, or None if there is none."""
        ...

    def create(self, wanted: LeaseState) -> LeaseState:
        """Make it. Raises ``ApiConflictError`` if it is there."""
        ...

    def replace(self, wanted: LeaseState) -> LeaseState:
        """Change it. Raises ``ApiConflictError`` unless ``wanted.version`` is the present one."""
        ...
