"""`qda-worker serve` with an echo model instead of a cache: the real servers and lifecycle, ready within a second.

python -m tests.support.echo_process --listen 127.0.0.1:0 [options of serve]
"""

import asyncio
import os
from collections.abc import Callable, Mapping

from model_cache.catalog.catalog import Catalog, Model, generation
from model_cache.check.types import CheckReport, Tier
from model_cache.cli.options import find_places
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import run
from model_cache.reasons import Reason
from qda_worker.observability.logs import configure_logging
from qda_worker.registry.engine import Engine
from qda_worker.registry.registry import ModelRegistry
from qda_worker.scheduling.queue import ModelQueue
from qda_worker.server.lifecycle import exit_if_busy
from qda_worker.server.worker import Worker
from qda_worker.settings import add_serve_options, read_serve_settings
from tests.support.echo_worker import MODEL, EchoSentiment


class EchoWorker(Worker):
    """A worker whose cache is always complete and whose model echoes."""

    def _check_cache(self) -> CheckReport:
        places = find_places("/nowhere", {})
        return CheckReport(Reason.OK, generation((MODEL,)), "/nowhere", Tier.FAST, 0, 0, 0.0, (), (), places)

    def _load_model(self, model: Model, on_failure: Callable[[str], None]) -> Engine:
        echo = EchoSentiment()
        return Engine(echo, ModelQueue(echo, self._tokenizers))


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Serve until a signal and return the exit code."""
    parser = OptionParser(prog="echo_process")
    add_serve_options(parser)
    settings = read_serve_settings(parser.parse_args(arguments), environ, in_container=True)
    log = configure_logging(20)
    registry = ModelRegistry(Catalog((MODEL,), "catalog.yaml"), (MODEL,))
    worker = EchoWorker(settings, environ, find_places("/nowhere", environ), registry, log)
    return exit_if_busy(asyncio.run(worker.run()))


if __name__ == "__main__":
    run(lambda arguments: main(list(arguments), dict(os.environ)), name="echo_process")
