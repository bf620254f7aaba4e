"""Memory of 1, 2 and 4 workers with one model on a node."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from safetensors import safe_open

from benchmarks.real_load import BULK_TEXT
from benchmarks.real_size import EMBEDDING, PARAPHRASE, SENTIMENT
from benchmarks.results import Better, Bound, Goal, Role, Row, Side
from benchmarks.session import Session, texts_of
from benchmarks.sides import WorkerSide

_COUNTS: Final = (1, 2, 4)
_MIB: Final = 2**20
_SHARE_OF_WEIGHTS: Final = 0.25


def rows(session: Session) -> list[Row]:
    """Start one worker after the other and look at all of them."""
    found = []
    for key in (SENTIMENT,) if session.quick else (SENTIMENT, PARAPHRASE, EMBEDDING):
        session.close_sides()
        for engine in ("torch",) if session.quick else ("torch", "auto"):
            found += _rows_of(session, key, engine)
    return found


def _rows_of(session: Session, key: str, engine: str) -> list[Row]:
    cache = session.cache
    weights = _weight_bytes(cache.path(key)) / _MIB
    options = ["--threads", str(session.threads)] + ["--engine", engine] * (engine != "auto")
    found = []
    workers: list[WorkerSide] = []
    with ExitStack() as stack:
        for count in _COUNTS[: 2 if session.quick else None]:
            while len(workers) < count:
                worker = WorkerSide(stack, session.temporary, cache, key, *options)
                worker.bulk_seconds(texts_of(32, BULK_TEXT, len(workers)))
                workers.append(worker)
            memory = [process_memory(worker.process.process.pid) for worker in workers]
            pss = sum(one["Pss"] for one in memory)
            private = memory[-1]["Private_Clean"] + memory[-1]["Private_Dirty"]
            print(f"  {key}, engine {engine}, {count} workers: PSS {pss / _MIB:.0f} MiB", flush=True)
            labels = {"model": key, "engine": engine, "workers": str(count)}
            found.append(
                Row(
                    labels,
                    "PSS of all, MiB",
                    Better.LOWER,
                    (Side("workers", Role.OURS, (pss / _MIB,), workers[0].note),),
                )
            )
            goals = (Goal(Role.BASELINE, Bound.RATIO_AT_MOST, _SHARE_OF_WEIGHTS),) * (count > 1)
            found.append(
                Row(
                    labels,
                    "private memory of the last one, MiB",
                    Better.LOWER,
                    (
                        Side("worker", Role.OURS, (private / _MIB,), workers[0].note),
                        Side("weights in fp32", Role.BASELINE, (weights,)),
                    ),
                    goals,
                )
            )
    return found


def _weight_bytes(folder: Path) -> int:
    """Return the bytes of the weights in fp32, as stored."""
    safetensors = folder / "model.safetensors"
    if not safetensors.exists():
        return (folder / "pytorch_model.bin").stat().st_size
    with safe_open(safetensors, "pt") as file:
        return sum(4 * file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118  # it is no dict


def process_memory(pid: int) -> dict[str, int]:
    """Return the memory of a process and its children in bytes, by the kernel's names."""
    total = dict.fromkeys(("Pss", "Private_Clean", "Private_Dirty"), 0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in total:
            total[name] += int(value.split()[0]) * 1024
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text("ascii").split():
            for name, size in process_memory(int(child)).items():
                total[name] += size
    return total
