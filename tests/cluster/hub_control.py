"""The faults and the request log of the hub in its pod."""

import json
from dataclasses import dataclass
from typing import Any, Final

from tests.cluster import demo_hub
from tests.cluster.kubectl import Kubectl, eventually

_SEND: Final = """
import sys, urllib.request as u
method, path, body = sys.argv[1:]
print(u.urlopen(u.Request(f"http://127.0.0.1:8001{path}", body.encode() or None, method=method)).read().decode())
"""


@dataclass(frozen=True, slots=True)
class HubControl:
    """Controls the hub by `kubectl exec`, so it needs the API server and the kubelet."""

    kubectl: Kubectl

    def add(self, kind: str, **fault: object) -> None:
        """Add a fault; see `tests.support.fake_hub.faults`."""
        self._send("POST", "/__faults__", json.dumps({"kind": kind, **fault}))

    def clear(self) -> None:
        """Delete all faults."""
        self._send("DELETE", "/__faults__")

    def requests(self) -> list[dict[str, Any]]:
        """Return the request log."""
        found = json.loads(self._send("GET", "/__log__"))
        assert isinstance(found, list)
        return found

    def bytes_sent(self, file: str = demo_hub.LARGE_FILE) -> int:
        """Return how many bytes of a large file were sent since the log was emptied, in all requests together."""
        sent = [one for one in self.requests() if one["host"] == "storage" and one["path"].endswith(file)]
        return sum(int(one["bytes_sent"]) for one in sent)

    def wait_until_sent(self, count: int, seconds: float = 90.0) -> None:
        """Wait until that many bytes of the large file were sent so far."""
        eventually(f"{count} bytes from the hub", lambda: self.bytes_sent() >= count, seconds)

    def forget(self) -> None:
        """Empty the request log."""
        self._send("DELETE", "/__log__")

    def _send(self, method: str, path: str, body: str = "") -> str:
        return self.kubectl("exec", demo_hub.NAME, "--", "python", "-c", _SEND, method, path, body)
