"""FindParaphrases equals an exhaustive search over the plain library's vectors, in the order of the proto."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from qda.v1 import paraphrase_pb2 as pb
from qda.v1 import paraphrase_pb2_grpc
from tests.service.worker.calls import TIMEOUT, reason, refused_status, texts
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess
from tests.service.worker.test_metrics import wait_until_idle

FIRST: Final = (
    "das ist gut",
    "das ist sehr gut",
    "die Stadt",
    "Haus in Köln",
    "das ist gut",
    "nicht schlecht",
)
SECOND: Final = ("die Stadt war schlecht", "das ist gut", "Haus")


def requests(
    settings: pb.FindParaphrasesSettings, first: Sequence[str], second: Sequence[str] = (), chunk: int = 2
) -> Iterator[pb.FindParaphrasesRequest]:
    yield pb.FindParaphrasesRequest(settings=settings)
    for which, contents in ((pb.TEXT_SET_FIRST, first), (pb.TEXT_SET_SECOND, second)):
        messages = texts(*contents)
        for start in range(0, len(messages), chunk):
            part = pb.TextChunk(texts=messages[start : start + chunk], set=which)
            yield pb.FindParaphrasesRequest(texts=part)


def find(
    channel: grpc.Channel, stream: Iterator[pb.FindParaphrasesRequest]
) -> list[pb.FindParaphrasesResponse]:
    stub = paraphrase_pb2_grpc.ParaphraseServiceStub(channel)
    return list(stub.FindParaphrases(stream, timeout=TIMEOUT))


def pairs_of(parts: list[pb.FindParaphrasesResponse]) -> list[tuple[int, int, float]]:
    chunks = [part.pairs.pairs for part in parts if part.HasField("pairs")]
    return [(pair.first_index, pair.second_index, pair.score) for chunk in chunks for pair in chunk]


def cosines(cache_fixture: CacheFixture, left: Sequence[str], right: Sequence[str]) -> Any:
    model = SentenceTransformer(str(cache_fixture.path("tiny-paraphrase")), device="cpu")
    unit = [model.encode(list(side), batch_size=1, normalize_embeddings=True) for side in (left, right)]
    return unit[0] @ unit[1].T


def exhaustive_search(
    scores: Any, *, same: bool, threshold: float, best: int | None
) -> list[tuple[int, int, float]]:
    found = []
    for first in range(len(scores)):
        others = range(first + 1 if same and best is None else 0, scores.shape[1])
        row = [
            (first, other, float(scores[first, other])) for other in others if not (same and other == first)
        ]
        row = sorted(
            (pair for pair in row if pair[2] >= threshold), key=lambda pair: (-round(pair[2], 5), pair[1])
        )
        found.extend(row[:best])
    return found


@pytest.mark.parametrize(
    ("second", "threshold", "best"),
    [((), 0.5, None), ((), -1.0, None), ((), None, 2), ((), 0.6, 1), (SECOND, 0.4, None), (SECOND, None, 1)],
)
def test_pairs_equal_those_of_an_exhaustive_search(
    cache_fixture: CacheFixture,
    channel: grpc.Channel,
    second: Sequence[str],
    threshold: float | None,
    best: int | None,
) -> None:
    settings = pb.FindParaphrasesSettings(threshold=threshold, best_count=best)
    found = pairs_of(find(channel, requests(settings, FIRST, second)))
    scores = cosines(cache_fixture, FIRST, second or FIRST)
    expected = exhaustive_search(
        scores, same=not second, threshold=-1.0 if threshold is None else threshold, best=best
    )
    assert [pair[:2] for pair in found] == [pair[:2] for pair in expected]
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in expected], abs=1e-5)


def test_the_stream_begins_with_provenance_and_ends_with_a_summary(channel: grpc.Channel) -> None:
    settings = pb.FindParaphrasesSettings(threshold=0.99)
    parts = find(channel, requests(settings, [*FIRST, "gut " * 100, ""], SECOND))
    assert parts[0].header.provenance.model == "tiny-paraphrase"
    assert [part.WhichOneof("part") for part in parts[1:-1]] == ["problem", "pairs"]
    problem = parts[1].problem
    assert (problem.set, problem.index, problem.id) == (pb.TEXT_SET_FIRST, 7, "t7")
    summary = parts[-1].summary
    assert (summary.first_text_count, summary.second_text_count) == (8, 3)
    assert summary.encoded_text_count == 8  # 11 texts, one of them twice, one three times in all, one empty
    assert summary.cut_text_count == 1
    assert summary.pair_count == len(pairs_of(parts)) == 2


@pytest.mark.parametrize(
    "settings",
    [
        pb.FindParaphrasesSettings(),
        pb.FindParaphrasesSettings(threshold=1.5),
        pb.FindParaphrasesSettings(threshold=float("nan")),
        pb.FindParaphrasesSettings(best_count=0),
        pb.FindParaphrasesSettings(threshold=0.5, long_text_policy=9),  # type: ignore[arg-type]  # no such value
    ],
    ids=["neither", "above one", "nan", "best of none", "unknown policy"],
)
def test_settings_out_of_range_are_refused(
    channel: grpc.Channel, settings: pb.FindParaphrasesSettings
) -> None:
    stub = paraphrase_pb2_grpc.ParaphraseServiceStub(channel)
    status = refused_status(stub.FindParaphrases, requests(settings, FIRST))
    assert reason(status) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")


@pytest.mark.parametrize("order", ["texts first", "settings twice", "no texts", "nothing", "empty part"])
def test_a_stream_in_another_order_is_refused(channel: grpc.Channel, order: str) -> None:
    good, *rest = requests(pb.FindParaphrasesSettings(threshold=0.5), FIRST)
    streams = {
        "texts first": rest,
        "settings twice": [good, good, *rest],
        "no texts": [good],
        "nothing": [],
        "empty part": [good, pb.FindParaphrasesRequest()],
    }
    stub = paraphrase_pb2_grpc.ParaphraseServiceStub(channel)
    status = refused_status(stub.FindParaphrases, iter(streams[order]))
    assert reason(status) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")


def test_equal_scores_are_ordered_by_position(channel: grpc.Channel) -> None:
    contents = ["die Stadt", *["das ist gut"] * 5, "Haus"]
    found = pairs_of(find(channel, requests(pb.FindParaphrasesSettings(best_count=3), contents)))
    partners = {first: [second for one, second, _ in found if one == first] for first in (1, 5)}
    assert partners == {1: [2, 3, 4], 5: [1, 2, 3]}
    assert np.allclose([score for first, _, score in found if first == 1], 1.0)


def resource_usage(worker: ServeProcess) -> tuple[int, int]:
    """Return the CPU time of the worker in clock ticks and its resident memory in bytes."""
    process = Path(f"/proc/{worker.process.pid}")
    fields = (process / "stat").read_text().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12]), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def memory_when_idle(worker: ServeProcess) -> int:
    """Return the resident memory once the worker is idle."""
    before = -10
    while (now := resource_usage(worker))[0] > before + 2:
        before = now[0]
        time.sleep(0.4)
    return now[1]


def test_a_client_that_does_not_read_stops_the_search(worker: ServeProcess) -> None:
    """12 million pairs, about 150 MB of messages: few are searched and held until the client reads."""
    statements = [f"{word} ist {mood}" for word in ("Haus", "Stadt", "das") for mood in ("gut", "schlecht")]
    settings = pb.FindParaphrasesSettings(threshold=-1)
    wait_until_idle(worker)
    before = memory_when_idle(worker)
    with worker.channel() as channel:
        stub = paraphrase_pb2_grpc.ParaphraseServiceStub(channel)
        stream = requests(settings, statements * 830, chunk=5_000)
        call = stub.FindParaphrases(stream, timeout=TIMEOUT, metadata=(("x-qda-caller", "unread"),))
        assert next(call).HasField("header")
        assert len(next(call).pairs.pairs) > 1_000
        held = memory_when_idle(worker) - before
        call.cancel()
    worker.wait_for("line", lambda: any(e["caller"] == "unread" for e in worker.events("call.ended")))
    [line] = [event for event in worker.events("call.ended") if event["caller"] == "unread"]
    assert line["status"] == "CANCELLED"
    assert 0 < line["sent_bytes"] < 20 * 2**20
    assert held < 150 * 2**20
