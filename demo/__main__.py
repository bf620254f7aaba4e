"""Run the demo: train small models, serve them from a fake hub, warm a cache, check it, and analyze an interview.

The exit code is 0 only if every step succeeded.
"""

import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from demo import analyses, steps
from demo.programs import DemoFailed, section
from qda_worker.client import ClientError
from tests.support.small_models import BuildFailed, SmallModels, small_models

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / "build"
CACHE: Final = BUILD / "demo-cache"
LOGS: Final = BUILD / "demo-logs"
INTERVIEW: Final = Path(__file__).with_name("interview.txt")
REPORT: Final = BUILD / "demo-report.html"


def main() -> int:
    """Run the demo and return the exit code: 0, 1 if a step failed, 130 if it was interrupted."""
    began = time.perf_counter()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that the programs that it started are stopped too
    try:
        run()
    except (DemoFailed, BuildFailed, ClientError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was interrupted.", file=sys.stderr)
        return 130
    print(
        f"\nAll steps succeeded, in {time.perf_counter() - began:.0f} s. The cache is kept in {relative(CACHE)}.\n"
        f"Open the report in a browser: {REPORT.as_uri()}"
    )
    return 0


def run() -> None:
    """Run all steps in order.

    Raises:
        DemoFailed: a program failed, or its result is wrong.
        BuildFailed: a small model cannot be trained.
        ClientError: a call failed.
    """
    texts = analyses.read_interview(INTERVIEW)
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    models = make_models()
    with section("2. The warmer fills an empty cache from a hub over HTTP"):
        steps.empty(CACHE)
        with steps.hub(models.hub, LOGS / "hub.log") as hub:
            options = ("--catalog", relative(models.catalog), "--cache", relative(CACHE))
            steps.warm(hub, options)
        print("The hub is stopped: nothing can be downloaded from now on.")
    with section("3. cache-check compares the cache with its manifest"):
        steps.cache_check(options)
    with ExitStack() as resources:
        with section("4. The worker loads every model, offline and from a read-only cache"):
            file_count = resources.enter_context(steps.read_only(CACHE))
            client = resources.enter_context(steps.worker(options, LOGS / "worker.log"))
            analyses.show_models(client)
        analyses.show_sentiment(client, texts)
        analyses.show_entities(client, texts)
        analyses.show_nearest(client, texts)
        analyses.show_paraphrases(client, texts)
        with section("9. The report: one page with all of it"):
            steps.report(client, INTERVIEW, REPORT, threshold=analyses.PARAPHRASE_THRESHOLD)
        with section("10. SIGTERM stops the worker gracefully"):
            resources.close()
            print(f"Exit code 0, and the {file_count} files of the cache are unchanged.")


def make_models() -> SmallModels:
    """Train the models that the hub will serve, or return those of an earlier run."""
    with section("1. Four small models"):
        print(
            "The real models have gigabytes. These four have their architectures, file names and formats, but are\n"
            "small and trained on sentences from templates: they show the workflow, not the quality of the real ones."
        )
        models = small_models(progress=lambda line: print(f"  {line}\n", end="", flush=True))
        for key, scores in models.scores.items():
            figures = ", ".join(
                f"{name.replace('_', ' ')} {value:.3f}" for name, value in scores.items() if name != "seconds"
            )
            print(f"  {key:24} held out: {figures}")
    return models


def relative(path: Path) -> str:
    """Return the path relative to the working directory, or unchanged if it is outside of it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
