"""Throughput by model, precision and length of the texts, against the bare forward pass and the peers."""

import random
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Final

from benchmarks.real_size import EMBEDDING, ENTITIES, PARAPHRASE, SENTIMENT
from benchmarks.results import Better, Bound, Goal, Role, Row, Side
from benchmarks.session import LABELS, Session, Turn, attempt, attempt_all, compare, measured, texts_of
from benchmarks.sides import Contestant

# Lengths in tokens, and the share of the texts that have them.
_MIXES: Final[dict[str, tuple[tuple[tuple[int, int], float], ...]]] = {
    "40 to 70 tokens": (((40, 70), 1.0),),
    "16 to 31 tokens": (((16, 31), 1.0),),
    "8 to 128 tokens": (((8, 24), 0.5), ((40, 70), 0.35), ((96, 128), 0.15)),
}
_PEERS: Final = {
    SENTIMENT: ("transformers", "infinity"),
    PARAPHRASE: ("sentence-transformers", "onnx", "openvino", "infinity"),
    EMBEDDING: ("sentence-transformers", "flagembedding", "infinity"),
    ENTITIES: ("spacy",),
}
_QUICK_PEERS: Final = {
    SENTIMENT: ("transformers",),
    ENTITIES: ("spacy",),
    PARAPHRASE: ("sentence-transformers", "infinity"),  # last: the next tables use its sides
}
# Texts of a repetition, in the quick and in the full run.
_TEXTS: Final = {SENTIMENT: (32, 256), PARAPHRASE: (48, 256), EMBEDDING: (32, 64), ENTITIES: (200, 4000)}
_GOALS: Final = (
    Goal(Role.BASELINE, Bound.RATIO_AT_LEAST, 0.95),
    Goal(Role.PEER, Bound.RATIO_AT_LEAST, 1.0),
)


def rows(session: Session) -> list[Row]:
    """Measure each model in each precision."""
    found = []
    for key, peers in (_QUICK_PEERS if session.quick else _PEERS).items():
        session.close_sides()
        for precision in ("fp32",) if key == ENTITIES else ("fp32", "bf16", "int8"):
            found += _rows_of(session, key, precision, peers)
    return found


def mixed_texts(mix: str, count: int, seed: int) -> list[str]:
    """Return texts with the lengths of a mix, in random order."""
    texts = []
    for number, (tokens, share) in enumerate(_MIXES[mix]):
        texts += texts_of(max(1, round(count * share)), tokens, 10 * seed + number)
    random.Random(seed).shuffle(texts)  # noqa: S311  # not secret
    return texts


def _rows_of(session: Session, key: str, precision: str, peers: tuple[str, ...]) -> list[Row]:
    ours = attempt("worker", Role.OURS, session.worker, key, precision)
    if isinstance(ours, Side) and precision != "fp32":
        return [_row(session, key, precision, next(iter(_MIXES)), [ours])]
    starts: list[tuple[str, Role, Callable[[], Contestant]]] = []
    if not session.quick and precision == "fp32" and key != ENTITIES:
        starts += [
            (f"worker, {engine} only", Role.OURS, partial(session.worker, key, precision, engine))
            for engine in ("torch", "openvino")
        ]
    if key != ENTITIES:
        quick = session.quick and key == SENTIMENT
        engines = ("bare",) if quick or precision == "int8" else ("bare", "bare-openvino")
        starts += [
            (LABELS[kind], Role.BASELINE, partial(session.library, kind, key, precision)) for kind in engines
        ]
    if precision != "fp32":  # the only peer with a choice of precisions has no int8 form of these models
        peers = ("openvino",) if precision == "bf16" and "openvino" in peers else ()
    starts += [(LABELS[peer], Role.PEER, partial(session.peer, peer, key, precision)) for peer in peers]
    sides = [ours, *attempt_all(starts)]
    mixes = list(_MIXES)[:1] if session.quick or key == ENTITIES else list(_MIXES)
    return [_row(session, key, precision, mix, sides) for mix in mixes]


def _row(session: Session, key: str, precision: str, mix: str, sides: list[Turn]) -> Row:
    count = _TEXTS[key][not session.quick]

    def rate(side: Contestant, number: int) -> float:
        texts = mixed_texts(mix, count, 1 + number)
        return len(texts) / side.bulk_seconds(texts)

    values = compare(sides, session.repetitions, rate)
    for name, found in values.items():
        print(f"  {key} {precision} {mix}: {name} {median(found):.1f} texts per second", flush=True)
    return Row(
        {"model": key, "precision": precision, "texts": mix},
        "texts per second",
        Better.HIGHER,
        measured(sides, values),
        _GOALS,
    )
