"""What one look at a cache found: what is promised, what is kept and why, and everything that could go."""

from dataclasses import dataclass

from cache_warmer.collecting.findings import Findings, Going, Held
from cache_warmer.collecting.keeping import Kept
from cache_warmer.collecting.promises import Promises


@dataclass(frozen=True, slots=True)
class Collection:
    """The promises, the decision over them, and what follows from it, in the order in which it is done."""

    promises: Promises
    kept: Kept
    findings: tuple[Findings, ...]

    @property
    def going(self) -> tuple[Going, ...]:
        """Everything to delete, in the order of deletion."""
        return tuple(one for found in self.findings for one in found.going)

    @property
    def held(self) -> tuple[Held, ...]:
        """What stays for somebody else."""
        return tuple(one for found in self.findings for one in found.held)

    @property
    def bytes(self) -> int:
        """What deleting it frees."""
        return sum(one.bytes for one in self.going)
