"""Time and memory of `cache-check`: for the default catalog, and for up to 20,000 files.

    python -m benchmarks.check [--runs N]

The baselines are the bare interpreter, the minimum of any Python program, and `find -type f -size` over the same files.
Times are processor time (user and system) of the whole process, because other load changes it less; memory is the
peak resident size. All figures are medians.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.resource_usage import measure_usage
from model_cache.catalog.catalog import HuggingFaceSource, Model, generation, model_digest
from model_cache.catalog.parse import load_catalog
from model_cache.layout import manifest_path, model_folder, model_record_path, repository_folder
from model_cache.manifest import FileRecord, Manifest, ModelRecord, dump_manifest, dump_model_record
from model_cache.places import Places, resolve_places

FILE_COUNTS: Final = (1_250, 2_500, 5_000, 10_000, 20_000)
_FILES_PER_MODEL: Final = 12  # of each model, as many as the largest one of the default catalog has


def main() -> None:
    """Measure, and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    check = [str(Path(sys.executable).with_name("cache-check"))]
    figures: dict[str, tuple[float, float]] = {
        "bare interpreter": measure([sys.executable, "-c", "pass"], runs)
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cache = make_cache(root / "default", load_catalog(None).models, _FILES_PER_MODEL)
        figures["default catalog"] = measure([*check, "--cache", str(cache)], runs)
        figures["find, the same files"] = measure(find(cache), runs)
        for count in FILE_COUNTS:
            catalog = write_catalog(root / f"{count}.yaml")
            cache = make_cache(root / str(count), load_catalog(catalog).models, count)
            arguments = ["--cache", str(cache), "--catalog", str(catalog)]
            figures[f"{count} files"] = measure([*check, *arguments], max(3, runs // 3))
            figures[f"find, {count} files"] = measure(find(cache), max(3, runs // 3))
    print(f"{'what':24}  {'ms':>8}  {'MB':>6}")
    for what, (seconds, size) in figures.items():
        print(f"{what:24}  {seconds * 1000:8.1f}  {size / 1e6:6.1f}")
    print(json.dumps({what: {"ms": s * 1000, "bytes": size} for what, (s, size) in figures.items()}))


def measure(command: Sequence[str], runs: int) -> tuple[float, float]:
    """Return the medians of processor seconds and of peak resident bytes of a program that must succeed."""
    outcomes = [measure_usage(command) for _ in range(runs)]
    return statistics.median(one.seconds for one in outcomes), statistics.median(
        one.resident for one in outcomes
    )


def find(root: Path) -> list[str]:
    """Return a `find` command that reads the size of each file."""
    return ["find", "-L", str(root), "-type", "f", "-size", "+0", "-size", "-9999999k"]


def write_catalog(path: Path) -> Path:
    """Write a catalog of one model."""
    path.write_text(
        "apiVersion: qda/v1\nkind: Catalog\nmodels:\n  - key: many\n    task: sentiment\n    huggingface:\n"
        f"      repository: org/many\n      revision: {'a' * 40}\n      files: ['*']\n"
    )
    return path


def make_cache(root: Path, models: Sequence[Model], files: int) -> Path:
    """Write a whole cache of small files: `files` a model, hub files as links to blobs. Returns its root."""
    places = resolve_places(str(root), {}, root)
    records = [_make_model(model, places, files) for model in models]
    name = generation(models)
    _write(manifest_path(places, name), dump_manifest(Manifest(name, tuple(records))))
    return root


def _make_model(model: Model, places: Places, files: int) -> ModelRecord:
    place, folder = model_folder(model)
    root = places.of(place).path
    put: Callable[[Path, bytes], None] = _write
    if isinstance(model.source, HuggingFaceSource):
        blobs = root / repository_folder(model.source.repository) / "blobs"
        blobs.mkdir(parents=True)
        put = _linked_to(blobs)
    found = []
    for number in range(files):
        path, content = f"{folder}/part-{number // 500:03}/{number:05}.bin", b"%d" % (10**9 + number)
        put(root / path, content)
        found.append(FileRecord(place, path, len(content), "0" * 64))
    record = ModelRecord(model_digest(model), model.key, model.source_name, model.revision, tuple(found))
    _write(model_record_path(places, record.digest), dump_model_record(record))
    return record


def _linked_to(blobs: Path) -> Callable[[Path, bytes], None]:
    def put(path: Path, content: bytes) -> None:
        blob = blobs / path.name
        blob.write_bytes(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(blob, path.parent))

    return put


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    main()
