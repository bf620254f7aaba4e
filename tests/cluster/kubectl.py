"""Runs kubectl and helm in one namespace."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

COMMAND_SECONDS: Final = 240.0
Found = TypeVar("Found")


class CommandFailed(Exception):
    """A command ended with another status than 0; the message is its output."""


@dataclass(frozen=True, slots=True)
class Said:
    """The result of a command: its exit status and output."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl, with everything in one namespace."""

    namespace: str
    kubeconfig: str = ""

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> str:
        """Run and return stdout. Raises `CommandFailed`."""
        said = self.says(*arguments, stdin=stdin)
        if said.code:
            raise CommandFailed(f"kubectl {' '.join(arguments)}: {said.code}: {said.err}{said.out}")
        return said.out

    def says(self, *arguments: str, stdin: str | bytes | None = None) -> Said:
        """Run a command and return its result."""
        return run(["kubectl", *self.options(), *arguments], stdin)

    def options(self) -> list[str]:
        """Return the options that select the namespace."""
        config = ["--kubeconfig", self.kubeconfig] if self.kubeconfig else []
        return [*config, "--namespace", self.namespace]

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create the objects, or change them. Raises `CommandFailed`."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--filename=-", stdin=json.dumps(items))

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return one object, or a list of them with `items`. Raises `CommandFailed`."""
        found = json.loads(self("get", *arguments, "--output=json"))
        assert isinstance(found, dict)
        return found

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Return all objects of a kind."""
        found = self.get(kind, *([f"--selector={selector}"] if selector else []))["items"]
        assert isinstance(found, list)
        return found


def run(command: Sequence[str], stdin: str | bytes | None = None) -> Said:
    """Run a program to its end."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(command, input=given, capture_output=True, timeout=COMMAND_SECONDS, check=False)
    return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def eventually(what: str, look: Callable[[], Found | None], seconds: float = 90.0) -> Found:
    """Poll until a function returns a value, and return it. Raises `AssertionError` after the timeout."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)
