"""Serve the small models of the demo until it is stopped, to try the examples and calls of one's own.

The arguments are those of `qda-worker serve`.
"""

import os
import sys
from typing import NoReturn

from demo import steps
from demo.__main__ import CACHE, LOGS, make_models, relative
from demo.programs import DemoFailed, environment, installed_command
from tests.support.small_models import BuildFailed


def main() -> NoReturn:
    """Replace this process by a worker with the small models; exit with 1 if that fails."""
    LOGS.mkdir(parents=True, exist_ok=True)
    try:
        models = make_models()
        options = ("--catalog", relative(models.catalog), "--cache", relative(CACHE))
        steps.fill(models.hub, LOGS / "hub.log", options)
        command = installed_command("qda-worker", "serve", *options, "--no-fetch", *sys.argv[1:])
    except (DemoFailed, BuildFailed) as error:
        sys.exit(f"\nThe models cannot be served: {error}")
    os.execve(command[0], command, environment())  # noqa: S606  # a fixed program


if __name__ == "__main__":
    main()
