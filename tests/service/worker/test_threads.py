"""A real worker under load computes with no more threads than its CPU budget, whatever it computes at a time."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Final

import pytest
import torch
from transformers import BertForSequenceClassification

from qda_worker.client import Client, Priority
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving
from tests.support.tiny_models import bert_config, bert_tokenizer

KEYS: Final = ("first", "second")
CATALOG: Final = """\
apiVersion: qda/v1
kind: Catalog
models:
""" + "".join(
    f"  - {{key: {key}, task: sentiment, huggingface: {{repository: qda-test/{key}, revision: {number * 40}, "
    'files: ["*"]}}\n'
    for key, number in zip(KEYS, "12", strict=True)
)
# Half a thousand tokens, so that nearly all time is computation.
TEXT: Final = "das Haus ist gut " * 120
SECONDS: Final = 3.0
# Threads that prepare texts and build answers, in the mean.
OVERHEAD: Final = 0.3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> CacheFixture:
    """Return a cache with two models, a batch of which takes a tenth of a second."""
    cache = CacheFixture(tmp_path_factory.mktemp("models"))
    cache.catalog_file.write_text(CATALOG, encoding="utf-8")
    for key in KEYS:
        folder = cache.path(key)
        folder.mkdir(parents=True)
        config = bert_config(bert_tokenizer(folder, 512), 512, ("positive", "negative", "neutral"), 0.02)
        config.hidden_size, config.intermediate_size, config.num_hidden_layers = 256, 1024, 6
        torch.manual_seed(1)
        BertForSequenceClassification(config).save_pretrained(folder)
    cache.publish()
    return cache


def running_threads(pid: int) -> int:
    """Return how many threads run or wait for a CPU, of those that may compute: no event loop, none of gRPC's own."""
    tasks = Path(f"/proc/{pid}/task")
    name = (tasks / str(pid) / "comm").read_text("utf-8")
    running = 0
    for task in tasks.iterdir():
        try:
            state = (task / "stat").read_text("utf-8").rpartition(")")[2].split()[0]
            running += state == "R" and task.name != str(pid) and (task / "comm").read_text("utf-8") == name
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
    return running


@contextmanager
def load(worker: ServeProcess) -> Iterator[None]:
    """Keep the queues of all models filled in both lanes."""
    stop = threading.Event()

    def call(key: str, priority: Priority) -> None:
        with Client(worker.address) as client:
            while not stop.is_set():
                client.sentiment([TEXT] * 4, model=key, priority=priority)

    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(call, key, priority)
            for key in KEYS
            for priority in (Priority.BULK, Priority.INTERACTIVE)
        ]
        try:
            yield
        finally:
            stop.set()
        for each in calls:
            each.result()


@pytest.mark.parametrize("threads", [1, 2])
def test_all_models_together_compute_with_the_threads_of_the_budget(
    models: CacheFixture, tmp_path: Path, threads: int
) -> None:
    arguments = ["--catalog", str(models.catalog_file), "--cache", str(models.cache), "--no-fetch"]
    with serving(tmp_path, *arguments, "--threads", str(threads)) as worker:
        worker.wait_until_ready()
        pid = worker.process.pid
        samples = []
        with load(worker):
            time.sleep(0.5)
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                samples.append(running_threads(pid))
                time.sleep(0.005)
        assert 0 < mean(samples) <= threads + OVERHEAD, samples
