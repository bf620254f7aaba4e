"""An API server that stores the Events it gets."""

from typing import Any


class FakeCluster:
    """Implements `ClusterApi`. `failure` is raised by every request for a uid, or by the next `failures` ones."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.calls = 0
        self.failure = failure
        self.failures: int | None = None

    def uid(self, kind: str, namespace: str, name: str) -> str:
        self.calls += 1
        if self.failure and self.failures != 0:
            self.failures = None if self.failures is None else self.failures - 1
            raise self.failure
        return f"uid of {kind} {namespace}/{name}"

    def create_event(self, namespace: str, event: dict[str, Any]) -> None:
        self.events.append(event)
