"""A part of a text by its positions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range [start, end) of a text, in tokens or code points."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of tokens or code points."""
        return self.end - self.start
