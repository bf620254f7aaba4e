"""Metrics of the cache and the models, as Prometheus scrapes them."""

import shutil
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from qda.v1 import entity_pb2, entity_pb2_grpc, text_pb2
from tests.service.worker.calls import TIMEOUT, texts
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving


def wait_until_idle(worker: ServeProcess) -> None:
    """Wait until no call is in flight and no text waits, so that the calls of other tests are counted."""

    def idle() -> bool:
        names = ("qda_calls_under_way", "qda_queue_texts")
        return not any(value for key, value in scrape(worker).items() if key[0] in names)

    worker.wait_for("an idle worker", idle)


def scrape(worker: ServeProcess) -> dict[tuple[str, ...], float]:
    """Return the samples, by name and label values."""
    port = worker.wait_for_event("metrics.listening")["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }


def options(cache_fixture: CacheFixture) -> list[str]:
    return [
        *(
            "--catalog",
            str(cache_fixture.catalog_file),
            "--cache",
            str(cache_fixture.cache),
            "--no-fetch",
            "--model",
            "tiny-ner",
        ),
        *("--metrics-listen", "127.0.0.1:0"),
    ]


def test_a_complete_cache_and_a_loaded_model_are_exported(
    cache_fixture: CacheFixture, tmp_path: Path
) -> None:
    with serving(tmp_path, *options(cache_fixture), "--threads", "3") as worker:
        worker.wait_until_ready()
        samples = scrape(worker)
        (threads,) = worker.events("threads.set")
    assert (threads["threads"], threads["source"]) == (3, "option")
    assert samples["qda_compute_threads", "option"] == 3
    assert samples["qda_cache_complete",] == 1
    assert samples["qda_model_loaded", "tiny-ner"] == 1
    assert {value for (name, *_), value in samples.items() if name == "qda_cache_problems"} <= {0}
    assert [name for name, *_ in samples if name == "qda_worker_build_info"]


def test_problems_are_counted_by_model_and_reason(cache_fixture: CacheFixture, tmp_path: Path) -> None:
    own = CacheFixture(tmp_path / "cache_fixture")
    shutil.copytree(cache_fixture.folder, own.folder)
    (own.path("tiny-ner") / "config.cfg").unlink()
    (own.path("tiny-ner") / "meta.json").unlink()
    with serving(tmp_path, *options(own)) as worker:
        worker.wait_for_event("cache.waiting")
        samples = scrape(worker)
    assert samples["qda_cache_complete",] == 0
    assert samples["qda_cache_problems", "tiny-ner", "CACHE_INCOMPLETE"] == 2
    assert samples["qda_model_loaded", "tiny-ner"] == 0


def test_the_result_cache_answers_a_call_that_comes_again(
    cache_fixture: CacheFixture, tmp_path: Path
) -> None:
    """With other labels and offsets, which are applied to what the cache holds."""
    contents = ["Merkel war in Köln.", "Müller 😀 und Siemens", "Berlin", ""]

    def ask(stub: entity_pb2_grpc.EntityServiceStub, **fields: Any) -> entity_pb2.RecognizeEntitiesResponse:
        request = entity_pb2.RecognizeEntitiesRequest(texts=texts(*contents), **fields)
        return stub.RecognizeEntities(request, timeout=TIMEOUT)

    calls: list[dict[str, Any]] = [
        {"offset_encoding": text_pb2.OFFSET_ENCODING_CODE_POINTS},
        {"offset_encoding": text_pb2.OFFSET_ENCODING_CODE_POINTS},
        {"offset_encoding": text_pb2.OFFSET_ENCODING_UTF8_BYTES, "labels": ["PER"]},
    ]
    with serving(tmp_path, *options(cache_fixture), "--result-cache", "1Mi") as worker:
        worker.wait_until_ready()
        with worker.channel() as channel:
            first, again, other = (ask(entity_pb2_grpc.EntityServiceStub(channel), **call) for call in calls)
        samples = scrape(worker)
        worker.wait_for("three log lines", lambda: len(worker.events("call.ended")) == 3)
        cached = [line["cached_items"] for line in worker.events("call.ended")]
    with serving(tmp_path, *options(cache_fixture)) as worker:
        worker.wait_until_ready()
        with worker.channel() as channel:
            plain = ask(entity_pb2_grpc.EntityServiceStub(channel), **calls[2])
        assert not [name for name, *_ in scrape(worker) if name.startswith("qda_result_cache")]
    assert list(again.results) == list(first.results)
    assert list(other.results) == list(plain.results)
    assert samples["qda_result_cache_hits_total", "tiny-ner"] == 6
    assert samples["qda_result_cache_misses_total", "tiny-ner"] == 6
    assert samples["qda_result_cache_entries",] == 3
    assert samples["qda_texts_total", "tiny-ner", "OK"] == 9
    assert cached == [0, 3, 3]
