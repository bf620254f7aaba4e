"""Read speed of `cache-check --deep`, compared with `sha256sum` of the same files on all cores.

    python -m benchmarks.check_deep [--megabytes N] [--rounds N]

Both read the same files from the page cache, so that the disk has no effect, and run in turns, so that other load slows
both. Prints wall time as the median of the rounds, and the peak resident size of the check.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.check import write_catalog
from benchmarks.resource_usage import measure_usage
from model_cache.catalog.catalog import generation, model_digest
from model_cache.catalog.parse import load_catalog
from model_cache.layout import manifest_path, snapshot_folder
from model_cache.manifest import FileRecord, Manifest, ModelRecord, dump_manifest
from model_cache.places import PlaceName, resolve_places

# Shares of the size, as in real caches: a few large files, many small ones.
SHARES: Final = (0.5, 0.25, 0.1, 0.1, *[0.05 / 50] * 50)


def main() -> None:
    """Measure, and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        deep, plain, resident = run_programs(Path(folder), given.megabytes, given.rounds)
    cores = len(os.sched_getaffinity(0))
    times = {"check": deep, "sha256sum": plain}
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["check"] / medians["sha256sum"]
    print(f"{given.megabytes} MB in {len(SHARES)} files, {cores} cores")
    for name, seconds in medians.items():
        print(f"{name:12}  {seconds:6.2f} s  {given.megabytes / seconds:8.0f} MB/s")
    print(f"ratio         {ratio:6.2f}\nmemory        {resident / 1e6:6.1f} MB")
    print(json.dumps({**medians, "ratio": ratio, "bytes_resident": resident}))


def run_programs(root: Path, megabytes: int, rounds: int) -> tuple[list[float], list[float], int]:
    """Run both programs in turns; return the seconds of the check and of sha256sum, and the check's peak of memory.

    Args:
        root: an empty folder.
        megabytes: size of all files.
        rounds: runs of each program.
    """
    catalog, files = make_cache(root, megabytes * 10**6)
    check = [
        sys.executable, "-m", "model_cache.check.cli", "--deep", "--quiet",
        "--catalog", str(catalog), "--cache", str(root / "cache"),
    ]  # fmt: skip
    # One file per call, the largest first, which is the fastest order for files of such different sizes.
    plain = ["xargs", "-0", "-n", "1", "-P", str(len(os.sched_getaffinity(0))), "sha256sum"]
    names = b"\0".join(os.fsencode(path) for path in files)
    plain_seconds, check_seconds, sizes = [], [], []
    for _ in range(rounds):
        plain_seconds.append(_timed(plain, names)[0])
        seconds, resident = _timed(check, b"")
        check_seconds.append(seconds)
        sizes.append(resident)
    return check_seconds, plain_seconds, max(sizes)


def make_cache(root: Path, size: int) -> tuple[Path, list[str]]:
    """Write a whole cache of that size; return its catalog and its files, the largest first."""
    catalog = write_catalog(root / "catalog.yaml")
    (model,) = load_catalog(catalog).models
    places = resolve_places(str(root / "cache"), {}, root)
    folder = snapshot_folder(model.source)  # type: ignore[arg-type]  # the catalog was just written
    records, paths = [], []
    for number, share in enumerate(SHARES):
        path = places.hub.path / folder / f"{number}.bin"
        digest, written = _write_noise(path, int(size * share))
        records.append(FileRecord(PlaceName.HUB, f"{folder}/{path.name}", written, digest))
        paths.append(str(path))
    record = ModelRecord(model_digest(model), model.key, model.source_name, model.revision, tuple(records))
    manifest = manifest_path(places, generation([model]))
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(dump_manifest(Manifest(generation([model]), (record,))))
    return catalog, paths


def _write_noise(path: Path, size: int) -> tuple[str, int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, left, block = hashlib.sha256(), size, os.urandom(1 << 20)
    with path.open("wb") as file:
        while left > 0:
            part = block[: min(left, len(block))]
            file.write(part)
            digest.update(part)
            left -= len(part)
    return digest.hexdigest(), size


def _timed(command: Sequence[str], stdin: bytes) -> tuple[float, int]:
    """Return wall seconds and peak resident bytes of a program that must succeed."""
    began = time.perf_counter()
    used = measure_usage(command, stdin)
    return time.perf_counter() - began, used.resident


if __name__ == "__main__":
    main()
