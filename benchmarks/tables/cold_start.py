"""From the start of a process to its first answer."""

from dataclasses import replace
from functools import partial
from typing import Final

from benchmarks.real_size import EMBEDDING, PARAPHRASE, SENTIMENT
from benchmarks.results import Better, Bound, Goal, Role, Row, Side
from benchmarks.session import LABELS, Session, Turn, attempt
from benchmarks.sides import Contestant
from qda_worker.models.engines.measurement import MEASUREMENT_SECONDS

_PEERS: Final = {
    SENTIMENT: ("transformers",),
    PARAPHRASE: ("sentence-transformers", "infinity"),
    EMBEDDING: ("sentence-transformers", "flagembedding"),
}


def rows(session: Session) -> list[Row]:
    """Start every side again and again, in turns."""
    found = []
    repetitions = 1 if session.quick else 5
    for key in (SENTIMENT,) if session.quick else _PEERS:
        session.close_sides()
        kinds = ("worker", "bare", *(() if session.quick else _PEERS[key]))
        sides: dict[str, Side] = {}
        for _ in range(repetitions):
            for kind in kinds:
                session.close_sides()
                role = {"worker": Role.OURS, "bare": Role.BASELINE}.get(kind, Role.PEER)
                started: Turn = attempt(LABELS.get(kind, kind), role, partial(_start, session), kind, key)
                if isinstance(started, Side):
                    sides.setdefault(kind, started)
                    continue
                known = sides.get(kind, Side(started.name, role, (), started.note))
                sides[kind] = replace(known, values=(*known.values, started.ready_seconds))
        session.close_sides()
        print(f"  {key}: { ({side.name: side.values for side in sides.values()}) }", flush=True)
        goal = Goal(Role.BASELINE, Bound.DIFFERENCE_AT_MOST, MEASUREMENT_SECONDS)
        row = Row({"model": key}, "seconds until ready", Better.LOWER, tuple(sides.values()), (goal,))
        found.append(row)
    return found


def _start(session: Session, kind: str, key: str) -> Contestant:
    return session.worker(key) if kind == "worker" else session.peer(kind, key)
