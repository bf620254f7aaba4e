"""Each call and each text is counted once, however it ends."""

import socket
from collections.abc import Iterator
from threading import Event
from typing import Any, Final

import grpc
import pytest

from qda.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    entity_pb2,
    entity_pb2_grpc,
    paraphrase_pb2,
    paraphrase_pb2_grpc,
    text_pb2,
)
from tests.service.worker.calls import TIMEOUT, texts
from tests.service.worker.process import ServeProcess
from tests.service.worker.test_metrics import scrape, wait_until_idle

ENTITIES: Final = "qda.v1.EntityService/RecognizeEntities"
EMBED: Final = "qda.v1.EmbeddingService/EmbedStream"
FIND: Final = "qda.v1.ParaphraseService/FindParaphrases"
CODE_POINT: Final = text_pb2.OFFSET_ENCODING_CODE_POINTS


class MetricsDelta:
    """The changes of the metrics since this object was created."""

    def __init__(self, worker: ServeProcess) -> None:
        wait_until_idle(worker)
        self._worker = worker
        self._before = scrape(worker)

    def now(self) -> dict[tuple[str, ...], float]:
        """Return what has changed, without durations, timestamps and metrics of the process."""
        after = scrape(self._worker)
        return {
            key: after[key] - self._before.get(key, 0)
            for key in after
            if after[key] != self._before.get(key, 0)
            and key[0].startswith(("grpc_", "qda_"))
            and not key[0].endswith(("_bucket", "_sum", "_created", "_timestamp_seconds"))
        }

    def wait(self, *key: str) -> dict[tuple[str, ...], float]:
        """Return the changes once this sample is among them: the end of a call is counted just after it is sent."""
        self._worker.wait_for(str(key), lambda: key in self.now())
        return self.now()


def counted(method: str, status: str) -> dict[tuple[str, ...], float]:
    """Return the changes that every call makes."""
    names: tuple[str, ...] = ("duration_seconds", "sent_total_compressed_message_size_bytes")
    names += ("rcvd_total_compressed_message_size_bytes",)
    return {("grpc_server_call_started_total", method): 1} | {
        (f"grpc_server_call_{name}_count", method, status): 1 for name in names
    }


def wait_for_end(change: MetricsDelta, method: str, status: str) -> dict[tuple[str, ...], float]:
    return change.wait("grpc_server_call_duration_seconds_count", method, status)


def test_an_answered_call_and_its_texts_are_counted_once(worker: ServeProcess, channel: grpc.Channel) -> None:
    change = MetricsDelta(worker)
    request = entity_pb2.RecognizeEntitiesRequest(
        texts=texts("Merkel war da", "", "Köln"), offset_encoding=CODE_POINT
    )
    entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities(request, timeout=TIMEOUT)
    found = wait_for_end(change, ENTITIES, "OK")
    batches = found.pop(("qda_batch_items_count", "tiny-ner"))
    assert batches in {1, 2}
    assert found == counted(ENTITIES, "OK") | {
        ("qda_texts_total", "tiny-ner", "OK"): 2,
        ("qda_texts_total", "tiny-ner", "TEXT_EMPTY"): 1,
        ("qda_queue_seconds_count", "tiny-ner"): 2,
        ("qda_compute_seconds_count", "tiny-ner"): batches,
        ("qda_batch_tokens_count", "tiny-ner"): batches,
        ("qda_batch_padding_ratio_count", "tiny-ner"): batches,
    }
    line = worker.events("call.ended")[-1]
    assert (line["method"], line["status"], line["items"], line["failed_items"]) == (ENTITIES, "OK", 3, 1)
    assert line["received_bytes"] == request.ByteSize()
    assert line["sent_bytes"] > 0


def test_a_refused_call_is_counted_with_its_reason(worker: ServeProcess, channel: grpc.Channel) -> None:
    change = MetricsDelta(worker)
    request = entity_pb2.RecognizeEntitiesRequest(texts=texts("Merkel"))
    with pytest.raises(grpc.RpcError):
        entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities(request, timeout=TIMEOUT)
    reason = ("qda_calls_without_answer_total", ENTITIES, "INVALID_ARGUMENT", "ENCODING_MISSING")
    found = wait_for_end(change, ENTITIES, "INVALID_ARGUMENT")
    assert found == counted(ENTITIES, "INVALID_ARGUMENT") | {reason: 1}


def test_texts_of_which_only_the_beginning_is_read_are_counted(
    worker: ServeProcess, channel: grpc.Channel
) -> None:
    change = MetricsDelta(worker)
    request = embedding_pb2.EmbedStreamRequest(texts=texts("gut " * 500, "gut"))
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    parts = list(stub.EmbedStream(request, timeout=TIMEOUT))
    found = wait_for_end(change, EMBED, "OK")
    assert found["qda_texts_truncated_total", "tiny-embedding"] == 1
    assert found["qda_texts_total", "tiny-embedding", "OK"] == 2
    assert counted(EMBED, "OK").items() <= found.items()
    line = worker.events("call.ended")[-1]
    assert line["sent_bytes"] == sum(part.ByteSize() for part in parts)
    assert line["cut_items"] == 1


def test_a_stream_that_its_caller_cancels_is_counted_as_cancelled(
    worker: ServeProcess, channel: grpc.Channel
) -> None:
    change = MetricsDelta(worker)
    ended = Event()

    def requests() -> Iterator[Any]:
        yield paraphrase_pb2.FindParaphrasesRequest(
            settings=paraphrase_pb2.FindParaphrasesSettings(threshold=0.5)
        )
        ended.wait(TIMEOUT)  # gRPC's thread may run this before the call has a name

    call: Any = paraphrase_pb2_grpc.ParaphraseServiceStub(channel).FindParaphrases(requests())
    next(call)
    assert change.now()["qda_calls_under_way", FIND] == 1
    call.cancel()
    ended.set()
    found = wait_for_end(change, FIND, "CANCELLED")
    reason = ("qda_calls_without_answer_total", FIND, "CANCELLED", "CANCELLED_BY_CALLER")
    assert found == counted(FIND, "CANCELLED") | {reason: 1}


def test_a_stream_after_its_deadline_is_counted_as_such(worker: ServeProcess, channel: grpc.Channel) -> None:
    change = MetricsDelta(worker)
    ended = Event()

    def requests() -> Iterator[Any]:
        yield paraphrase_pb2.FindParaphrasesRequest(
            settings=paraphrase_pb2.FindParaphrasesSettings(threshold=0.5)
        )
        ended.wait(TIMEOUT)  # gRPC's thread may run this before the call has a name

    call: Any = paraphrase_pb2_grpc.ParaphraseServiceStub(channel).FindParaphrases(requests(), timeout=0.5)
    with pytest.raises(grpc.RpcError):
        list(call)
    ended.set()
    found = wait_for_end(change, FIND, "DEADLINE_EXCEEDED")
    reason = ("qda_calls_without_answer_total", FIND, "DEADLINE_EXCEEDED", "DEADLINE_PASSED")
    assert found == counted(FIND, "DEADLINE_EXCEEDED") | {reason: 1}


def test_unknown_methods_share_one_label(worker: ServeProcess, channel: grpc.Channel) -> None:
    change = MetricsDelta(worker)
    for number in range(3):
        call: Any = channel.unary_unary(f"/made.up.Service/Number{number}")
        with pytest.raises(grpc.RpcError):
            call(b"", timeout=TIMEOUT)
    worker.wait_for("three calls", lambda: change.now()["grpc_server_call_started_total", "other"] == 3)
    assert not [key for key in scrape(worker) if any("made.up" in label for label in key)]


def test_a_message_over_the_limit_is_counted_as_incomplete(
    worker: ServeProcess, channel: grpc.Channel
) -> None:
    change = MetricsDelta(worker)
    request = entity_pb2.RecognizeEntitiesRequest(texts=texts("x" * 17 * 2**20), offset_encoding=CODE_POINT)
    with pytest.raises(grpc.RpcError) as caught:
        entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities(request, timeout=TIMEOUT)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    found = wait_for_end(change, ENTITIES, "CANCELLED")
    assert found["qda_calls_without_answer_total", ENTITIES, "CANCELLED", "REQUEST_INCOMPLETE"] == 1
    assert found["grpc_server_call_started_total", ENTITIES] == 1


def test_an_invalid_http_request_does_not_disturb_later_scrapes(worker: ServeProcess) -> None:
    port = worker.wait_for_event("metrics.listening")["port"]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"\x00\xff" * 100 + b"\r\n\r\n")
    assert scrape(worker)["qda_cache_complete",] == 1
    assert scrape(worker)["qda_model_load_seconds", "tiny-ner"] > 0
    assert scrape(worker)["qda_cache_restart_needed", "tiny-ner"] == 0


# 14 MB; four make a batch. They differ, because equal texts are computed once.
LONG: Final = [f"{number}. {'Merkel fuhr nach Köln. ' * 130}" for number in range(4_800)]


def recognize(channel: grpc.Channel, contents: list[str], timeout: float = TIMEOUT) -> Any:
    request = entity_pb2.RecognizeEntitiesRequest(texts=texts(*contents), offset_encoding=CODE_POINT)
    return entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities.future(request, timeout=timeout)


def text_counters(change: MetricsDelta) -> dict[tuple[str, ...], float]:
    """Return the changes of the counters of texts."""
    return {key: value for key, value in change.now().items() if key[0].startswith("qda_texts")}


def test_texts_of_a_cancelled_call_are_counted_once_as_ok_or_cancelled(
    worker: ServeProcess, channel: grpc.Channel
) -> None:
    change = MetricsDelta(worker)
    call = recognize(channel, LONG)
    worker.wait_for("the first", lambda: ("qda_texts_total", "tiny-ner", "OK") in change.now())
    call.cancel()
    wait_until_idle(worker)
    found = text_counters(change)
    assert found.pop(("qda_texts_truncated_total", "tiny-ner"), 0) == 0
    assert set(found) == {
        ("qda_texts_total", "tiny-ner", "OK"),
        ("qda_texts_cancelled_total", "tiny-ner", "CANCELLED_BY_CALLER"),
    }
    assert sum(found.values()) == len(LONG)


def test_texts_that_cannot_be_finished_in_time_are_counted_as_refused(
    worker: ServeProcess, channel: grpc.Channel
) -> None:
    """They are refused at once, by the measured throughput, while other texts wait: an idle model refuses nothing.

    A deadline that passes before the texts arrive is doubled.
    """
    recognize(channel, LONG[:80]).result()
    seconds = 1
    change, busy = MetricsDelta(worker), recognize(channel, LONG)
    worker.wait_for("the first", lambda: ("qda_texts_total", "tiny-ner", "OK") in change.now())
    call = recognize(channel, LONG, seconds)
    while call.code() is grpc.StatusCode.DEADLINE_EXCEEDED and seconds < 16:
        seconds *= 2
        call = recognize(channel, LONG, seconds)
    assert "DEADLINE_TOO_SHORT" in call.details()
    busy.cancel()
    wait_until_idle(worker)
    assert text_counters(change)["qda_texts_refused_total", "tiny-ner", "DEADLINE_TOO_SHORT"] >= len(LONG)
