"""A container engine and its compose, as programs: Docker's or Podman's, named by the environment that make sets."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 150.0


@dataclass(frozen=True, slots=True)
class Engine:
    """What the tests run containers with.

    Attributes:
        engine, compose, builder: command lines, such as `podman`, `docker compose` and `docker build`.
        worker_image, warmer_image: names of images that are there.
        hub_host: the name or address by which a container reaches this machine.
    """

    engine: Sequence[str]
    compose: Sequence[str]
    builder: Sequence[str]
    worker_image: str
    warmer_image: str
    hub_host: str

    def run(self, image: str, *command: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of its own; the first word of the command is the program."""
        entry = ("--entrypoint", command[0])
        return call([*self.engine, "run", "--rm", *entry, *options, image, *command[1:]])

    def exec(self, container: str, *command: str) -> subprocess.CompletedProcess[str]:
        return call([*self.engine, "exec", container, *command])


def engine_of(environ: Mapping[str, str]) -> Engine:
    """Return the engine that make named. Raises KeyError if the test was not started by make."""
    return Engine(
        engine=shlex.split(environ["ENGINE"]),
        compose=shlex.split(environ["COMPOSE"]),
        builder=shlex.split(environ["BUILDER"]),
        worker_image=environ["WORKER_IMAGE"],
        warmer_image=environ["WARMER_IMAGE"],
        hub_host=environ["HUB_HOST"],
    )


@dataclass(slots=True)
class Project:
    """A compose project: its files, environment variables and name."""

    engine: Engine
    files: Sequence[str]
    variables: Mapping[str, str]
    name: str = "qda-test"
    started: bool = field(default=False, init=False)

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        files = [word for file in self.files for word in ("-f", str(ROOT / file))]
        return call([*self.engine.compose, "-p", self.name, *files, *arguments], self.variables)

    def up(self) -> None:
        """Start all services in the background, as documented."""
        self.started = True
        done = self.compose("up", "--detach")
        assert done.returncode == 0, f"up ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"

    def down(self, *options: str) -> None:
        """Remove all services, networks and volumes."""
        done = self.compose("down", *options)
        assert done.returncode == 0, done.stderr
        self.started = False


def call(
    command: Sequence[str], variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and capture its output."""
    environ = {**os.environ, **(variables or {})}
    return subprocess.run(
        command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
