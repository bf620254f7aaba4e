"""From a catalog to answered calls: models, hub, warmer, check, worker, client.

Ends with 0 only if every step did its part.
"""

import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from demo import answers, stations
from demo.programs import DemoFailed, section
from qda_worker.client import ClientError
from tests.support.small_models import BuildFailed, SmallModels, small_models

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / "build"
CACHE: Final = BUILD / "demo-cache"
LOGS: Final = BUILD / "demo-logs"


def main() -> int:
    """Run the demo. The exit code: 0, 1 where a step failed, 130 where it was interrupted."""
    began = time.perf_counter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the programs it started end with it
    try:
        run()
    except (DemoFailed, BuildFailed, ClientError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo was interrupted.", file=sys.stderr)
        return 130
    print(f"\nAll of it worked, in {time.perf_counter() - began:.0f} s. The cache stays in {shown(CACHE)}.")
    return 0


def run() -> None:
    """Return the steps in their order. Raises DemoFailed, BuildFailed or ClientError at the first that fails."""
    texts = answers.read_interview(Path(__file__).with_name("interview.txt"))
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    models = make_models()
    with section("2. The warmer fills an empty cache from a hub over HTTP"):
        stations.empty(CACHE)
        with stations.hub(models.hub, LOGS / "hub.log") as hub:
            options = ("--catalog", shown(models.catalog), "--cache", shown(CACHE))
            stations.warm(hub, options)
        print("The hub is stopped; from here on there is nothing to download from.")
    with section("3. cache-check compares the cache with its manifest"):
        stations.cache_check(options)
    with ExitStack() as running:
        with section("4. The worker loads every model, offline and from a read-only cache"):
            untouched = running.enter_context(stations.read_only(CACHE))
            client = running.enter_context(stations.worker(options, LOGS / "worker.log"))
            answers.show_models(client)
        answers.show_sentiment(client, texts)
        answers.show_entities(client, texts)
        answers.show_nearest(client, texts)
        answers.show_paraphrases(client, texts)
        with section("9. SIGTERM ends the worker in order"):
            running.close()
            print(f"Exit code 0, and {untouched} files of the cache are as they were.")


def make_models() -> SmallModels:
    """Return the models that the hub will serve."""
    with section("1. Four small models"):
        print(
            "The real models are gigabytes. These four have their architectures, file names and formats, but are\n"
            "small, and trained here on sentences from templates: they show the path, not what the real ones can."
        )
        models = small_models(say=lambda line: print(f"  {line}\n", end="", flush=True))
        for key, scores in models.scores.items():
            figures = ", ".join(
                f"{name.replace('_', ' ')} {value:.3f}" for name, value in scores.items() if name != "seconds"
            )
            print(f"  {key:24} held out: {figures}")
    return models


def shown(path: Path) -> str:
    """Return the path relative to the working directory where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
