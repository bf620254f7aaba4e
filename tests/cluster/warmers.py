"""What can be seen of a release's newest warmer: its Job, its pods and the Events on both."""

import json
from dataclasses import dataclass
from typing import Any

from tests.cluster.kubectl import eventually
from tests.cluster.release import Release, state


@dataclass(frozen=True, slots=True)
class Warmer:
    """The Job of one warm."""

    release: Release
    job: str

    def pods(self) -> list[dict[str, Any]]:
        """Return its pods, the oldest first."""
        found = self.release.kubectl.items("pods", f"batch.kubernetes.io/job-name={self.job}")
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def running(self, *, other_than: str = "", seconds: float = 120.0) -> str:
        """Return the name of its pod whose container runs, once there is one."""

        def look() -> str | None:
            for pod in self.pods():
                name = str(pod["metadata"]["name"])
                if name != other_than and "running" in state(pod).get("state", {}):
                    return name
            return None

        return eventually(f"a running pod of {self.job}", look, seconds)

    def wait_for(self, condition: str, seconds: float = 300.0) -> None:
        """Wait until the Job is `Complete` or `Failed`; fail at once if it is the other one."""

        def look() -> str | None:
            status = self.release.kubectl.get("job", self.job)["status"]
            ended = [one for one in status.get("conditions", []) if one["status"] == "True"]
            names = {one["type"] for one in ended} & {"Complete", "Failed"}
            return next(iter(names), None)

        try:
            ended = eventually(f"the end of {self.job}", look, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-4000:]}") from error
        assert ended == condition, self.messages()

    def messages(self) -> list[dict[str, Any]]:
        """Return the termination messages of its pods, the oldest first."""
        words = [state(pod).get("state", {}).get("terminated", {}).get("message") for pod in self.pods()]
        return [json.loads(one) if one.startswith("{") else {"text": one} for one in words if one]

    def exit_codes(self) -> list[int]:
        """Return the exit codes of its pods, the oldest first."""
        ended = [state(pod).get("state", {}).get("terminated") for pod in self.pods()]
        return [int(one["exitCode"]) for one in ended if one]

    def event(self, reason: str, seconds: float = 180.0) -> str:
        """Return the message of an Event on the Job, once it is there."""
        return eventually(f"an Event {reason} on {self.job}", lambda: self.has_event(reason), seconds)

    def has_event(self, reason: str) -> str | None:
        """Return the message of an Event on the Job; None without one."""
        for event in self.release.kubectl.items("events"):
            if event["involvedObject"]["name"] == self.job and event["reason"] == reason:
                return str(event["message"])
        return None

    def log(self) -> str:
        """Return the logs of all its pods."""
        return self.release.kubectl(
            "logs", f"--selector=batch.kubernetes.io/job-name={self.job}", "--tail=-1", "--prefix"
        )


def warmer(release: Release) -> Warmer:
    """Return the warmer of the release's one Job that is not being deleted."""

    def look() -> str | None:
        found = release.kubectl.items("jobs", f"app.kubernetes.io/instance={release.name}")
        live = [job["metadata"]["name"] for job in found if "deletionTimestamp" not in job["metadata"]]
        return str(live[0]) if len(live) == 1 else None

    return Warmer(release, eventually(f"the one Job of {release.name}", look))
