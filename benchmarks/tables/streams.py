"""A corpus by a stream against the same corpus by unary calls."""

from typing import Final

from benchmarks.real_load import BULK_TEXT
from benchmarks.real_size import EMBEDDING, PARAPHRASE
from benchmarks.results import Better, Bound, Goal, Role, Row, Side
from benchmarks.session import Session, texts_of
from benchmarks.sides import WorkerSide, timed
from qda_worker.client import Priority

_TEXTS: Final = {PARAPHRASE: (32, 1024), EMBEDDING: (32, 128)}
_RATIO: Final = 0.95


def rows(session: Session) -> list[Row]:
    """Measure both in turns."""
    found = []
    for key in (PARAPHRASE,) if session.quick else _TEXTS:
        worker = session.worker(key)
        stream: list[float] = []
        unary: list[float] = []
        for number in range(session.repetitions):
            texts = texts_of(_TEXTS[key][not session.quick], BULK_TEXT, 300 + number)
            stream.append(len(texts) / timed(lambda: _stream(worker, key, texts)))  # noqa: B023  # called at once
            unary.append(len(texts) / worker.bulk_seconds(texts))
            print(f"  {key}: stream {stream[-1]:.1f}, unary {unary[-1]:.1f} texts per second", flush=True)
        found.append(
            Row(
                {"model": key, "texts": "40 to 70 tokens"},
                "texts per second",
                Better.HIGHER,
                (
                    Side("stream", Role.OURS, tuple(stream), worker.note),
                    Side("unary calls", Role.BASELINE, tuple(unary)),
                ),
                (Goal(Role.BASELINE, Bound.RATIO_AT_LEAST, _RATIO),),
            )
        )
        if not session.quick:
            session.close_sides()
    return found


def _stream(worker: WorkerSide, key: str, texts: list[str]) -> None:
    for result in worker.client.embed_stream(texts, model=key, priority=Priority.BULK):
        assert result.ok
