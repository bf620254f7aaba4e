"""What models that compute in this process have in common."""

from collections.abc import Callable


class InProcessModel:
    """Base class of models that compute in this process.

    Such a model fails one batch at a time, by an exception. It cannot die on its own and needs no clean-up.
    """

    __slots__ = ()

    @property
    def failure(self) -> str | None:
        """Always None."""
        return None

    @property
    def away_seconds(self) -> float:
        """Always 0."""
        return 0.0

    def abort(self, seconds: float) -> bool:
        """Return False: a thread cannot be ended."""
        return False

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Ignore the callback: it would never be called."""

    def close(self) -> None:
        """Do nothing: memory is released with the object."""
