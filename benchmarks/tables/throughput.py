"""Throughput by model, precision and length of the texts, against the bare forward pass and the peers."""

import random
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Final

from benchmarks.real_size import EMBEDDING, ENTITIES, PARAPHRASE, SENTIMENT
from benchmarks.results import Better, Bound, Goal, Role, Row
from benchmarks.session import (
    LABELS,
    QUICK_BARE,
    REDUCED,
    Session,
    Start,
    Turn,
    attempt_all,
    compare,
    measured,
    texts_of,
    workers_by_engine,
)
from benchmarks.sides import BARE, Contestant

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
# The peers that compute in a reduced precision without files of the hub: OpenVINO's static int8 needs a data set of it.
_REDUCED_PEERS: Final = {"bf16": ("openvino",), "int8": ("onnx",)}
# Texts of a repetition, in the quick and in the full run; in the full run twice as many in bf16 and int8. They are four
# to six batches or more: with fewer, the first and the last batch of the worker decide. spaCy is up to a fifth slower
# per text for 1,000 texts than for 300 (measured), and its users have more.
_TEXTS: Final = {SENTIMENT: (64, 256), PARAPHRASE: (96, 256), EMBEDDING: (96, 128), ENTITIES: (800, 4000)}
# In the quick run two repetitions of so many texts tell more than three of a few.
_QUICK_REPETITIONS: Final = 2
_GOALS: Final = (
    Goal(Role.BASELINE, Bound.RATIO_AT_LEAST, 0.95),
    Goal(Role.PEER, Bound.RATIO_AT_LEAST, 1.0),
)


def rows(session: Session) -> list[Row]:
    """Measure each model in each precision."""
    found = []
    for key, peers in (_QUICK_PEERS if session.quick else _PEERS).items():
        session.close_sides()
        found += _fp32_rows(session, key, peers)
        if key == PARAPHRASE or (not session.quick and key != ENTITIES):
            for precision in REDUCED:
                if not session.quick:
                    session.close_sides()
                found += _reduced_rows(session, key, precision)
    return found


def mixed_texts(mix: str, count: int, seed: int) -> list[str]:
    """Return texts with the lengths of a mix, in random order."""
    texts = []
    for number, (tokens, share) in enumerate(_MIXES[mix]):
        texts += texts_of(max(1, round(count * share)), tokens, 10 * seed + number)
    random.Random(seed).shuffle(texts)  # noqa: S311  # not secret
    return texts


def _fp32_rows(session: Session, key: str, peers: tuple[str, ...]) -> list[Row]:
    starts: list[Start] = []
    if key != ENTITIES:
        starts += [] if session.quick else workers_by_engine(session, key, "fp32")
        kinds = QUICK_BARE[key] if session.quick else BARE
        starts += [(LABELS[kind], Role.BASELINE, partial(session.library, kind, key)) for kind in kinds]
    starts += [(LABELS[peer], Role.PEER, partial(session.peer, peer, key)) for peer in peers]
    return _rows_of(session, key, "fp32", starts)


def _reduced_rows(session: Session, key: str, precision: str) -> list[Row]:
    """Measure a prepared form: served, computed alone, and the peers that have such a precision."""
    starts: list[Start] = []
    engines: tuple[str, ...] = ("auto",)
    if not session.quick:
        starts += workers_by_engine(session, key, precision)
        engines = ("torch", "openvino")
    starts += [
        (LABELS[f"bare-form-{engine}"], Role.BASELINE, partial(session.bare_form, key, precision, engine))
        for engine in engines
    ]
    if not session.quick:
        peers = _REDUCED_PEERS[precision] if key == PARAPHRASE else ()
        starts += [
            (LABELS[peer], Role.PEER, partial(session.library, peer, key, precision)) for peer in peers
        ]
    return _rows_of(session, key, precision, starts)


def _rows_of(session: Session, key: str, precision: str, starts: Sequence[Start]) -> list[Row]:
    ours: Start = ("worker", Role.OURS, partial(session.worker, key, precision))
    sides = attempt_all([ours, *starts])
    mixes = list(_MIXES)[:1] if session.quick or key == ENTITIES else list(_MIXES)
    return [_row(session, key, precision, mix, sides) for mix in mixes]


def _row(session: Session, key: str, precision: str, mix: str, sides: list[Turn]) -> Row:
    count = _TEXTS[key][not session.quick] * (2 if precision in REDUCED and not session.quick else 1)

    def rate(side: Contestant, number: int) -> float:
        texts = mixed_texts(mix, count, 1 + number)
        return len(texts) / side.bulk_seconds(texts)

    repetitions = _QUICK_REPETITIONS if session.quick else session.repetitions
    values = compare(sides, repetitions, rate)
    for name, found in values.items():
        print(f"  {key} {precision} {mix}: {name} {median(found):.1f} texts per second", flush=True)
    return Row(
        {"model": key, "precision": precision, "texts": mix},
        "texts per second",
        Better.HIGHER,
        measured(sides, values),
        _GOALS,
    )
