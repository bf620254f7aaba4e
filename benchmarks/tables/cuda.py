"""The worker on a CUDA device against the bare forward pass there, and against the libraries."""

from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Final

from benchmarks.real_load import BULK_TEXT, SHORT_TEXT
from benchmarks.real_size import EMBEDDING, PARAPHRASE, SENTIMENT
from benchmarks.results import Better, Role, Row
from benchmarks.session import FOLDER, LABELS, Session, Turn, attempt, compare, measured, texts_of
from benchmarks.sides import Contestant, LibrarySide, WorkerSide, library_command, task_of

# Texts in a request of the worker's client, and requests at a time.
_REQUEST: Final = (512, 8)
# Texts of a list, in the quick and in the full run: seconds on a current device.
_TEXTS: Final = {SENTIMENT: (4_096, 16_384), PARAPHRASE: (4_096, 16_384), EMBEDDING: (2_048, 8_192)}
_SINGLE_TEXTS: Final = 100
# What each precision is called by the worker: the engine, and the precision of the release.
_PRECISIONS: Final = {"fp32": ("cuda", "fp32"), "tf32": ("cuda-tf32", "fp32"), "bf16": ("cuda", "bf16")}


def rows(session: Session) -> list[Row]:
    """Measure every model in every precision.

    Raises:
        SystemExit: there is no CUDA device.
    """
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device")
    device = torch.cuda.get_device_name(0)
    found = []
    for key in (PARAPHRASE,) if session.quick else _TEXTS:
        for precision in _PRECISIONS:
            labels = {"model": key, "precision": precision, "device": device}
            found += _rows(session, key, precision, labels)
    return found


def _rows(session: Session, key: str, precision: str, labels: dict[str, str]) -> list[Row]:
    with ExitStack() as stack:
        starts: list[tuple[str, Role, Callable[[], Contestant]]] = [
            ("worker", Role.OURS, lambda: _worker(session, stack, key, precision)),
            (LABELS["bare"], Role.BASELINE, lambda: _library(session, stack, "bare", key, precision)),
        ]
        if precision == "fp32":
            kind = "transformers" if task_of(key) == "sentiment" else "sentence-transformers"
            starts.append((LABELS[kind], Role.PEER, lambda: _library(session, stack, kind, key, precision)))
        sides: list[Turn] = [attempt(*start) for start in starts]
        count = _TEXTS[key][not session.quick]

        def rate(side: Contestant, number: int) -> float:
            texts = texts_of(count, BULK_TEXT, 700 + number)
            return count / side.bulk_seconds(texts)

        def single(side: Contestant, number: int) -> float:
            texts = texts_of(_SINGLE_TEXTS, SHORT_TEXT, 800 + number)
            return 1000 * median(side.single_seconds(texts))

        compare(sides, 1, rate)  # kernels are loaded, and memory is reserved, at first use
        rates, singles = (compare(sides, session.repetitions, measure) for measure in (rate, single))
        print(f"  {labels}: {rates} {singles}", flush=True)
        return [
            Row(labels, "texts per second", Better.HIGHER, measured(sides, rates)),
            Row(labels, "p50 of one text, ms", Better.LOWER, measured(sides, singles)),
        ]


def _worker(session: Session, stack: ExitStack, key: str, precision: str) -> WorkerSide:
    engine, of_release = _PRECISIONS[precision]
    cache = session.cache if of_release == "fp32" else session.cache_with_form(key, of_release)
    options = ("--device", "cuda", "--engine", engine)
    return WorkerSide(stack, session.temporary, cache, key, *options, request=_REQUEST)


def _library(session: Session, stack: ExitStack, kind: str, key: str, precision: str) -> LibrarySide:
    prepared = FOLDER / "prepared" / f"cuda-{kind}-{key}"
    # In this environment, which has the build of torch for the device.
    command = library_command(
        kind,
        session.cache.path(key),
        key,
        threads=session.threads,
        prepared=prepared,
        precision=precision,
        own=True,
    )
    command += ["--device", "cuda"]
    role = Role.BASELINE if kind == "bare" else Role.PEER
    return LibrarySide(stack, command, prepared.with_suffix(".log"), role=role, label=LABELS[kind])
