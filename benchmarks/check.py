"""Time and memory of `cache-check`: for the default catalog, and for up to 20,000 files.

    python -m benchmarks.check [--runs N]

The baselines are the bare interpreter, the minimum of any Python program, and `find -type f -size` over the same files.
Times are processor time (user and system) of the whole process, because other load changes it less; memory is the
peak resident size. All figures are medians.
"""

import argparse
import fnmatch
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.resource_usage import measure_usage
from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, generation, model_digest
from model_cache.catalog.lock import Lock, load_lock
from model_cache.catalog.parse import load_catalog
from model_cache.layout import manifest_path, model_record_path, repository_folder
from model_cache.manifest import FileRecord, Manifest, ModelRecord, dump_manifest, dump_model_record
from model_cache.places import Places, resolve_places
from model_cache.record_rules import source_folder

FILE_COUNTS: Final = (1_250, 2_500, 5_000, 10_000, 20_000)
# Files of the packages, of which the lock knows no names: as many as the default catalog's largest one has.
FILES_PER_MODEL: Final = 12
# Bytes of a file of which the lock knows no size.
_SMALL: Final = 10
_NO_HASH: Final = "0" * 64


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
        cache = make_cache(root / "default", load_catalog(None).models, FILES_PER_MODEL, load_lock(None))
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


def make_cache(root: Path, models: Sequence[Model], files: int, lock: Lock | None = None) -> Path:
    """Write a whole cache. Returns its root.

    Args:
        root: of the cache.
        models: of the catalog.
        files: number of small files of each model that the lock does not know.
        lock: gives the files of its models their names and sizes (sparse: only sizes are read).
    """
    places = resolve_places(str(root), {}, root)
    records = [_make_model(model, places, _files_of(model, files, lock)) for model in models]
    name = generation(models)
    _write(manifest_path(places, name), dump_manifest(Manifest(name, tuple(records))))
    return root


def _files_of(model: Model, count: int, lock: Lock | None) -> dict[str, tuple[int, str]]:
    """Return size and sha256 by the name below the folder of the model."""
    source, entry = model.source, lock.models.get(model.key) if lock is not None else None
    if isinstance(source, SpacySource):
        inner, metadata = (
            f"{source.package}/{source.package}-{source.version}",
            f"{source.package}-{source.version}.dist-info",
        )
        names = [f"{inner}/config.cfg", f"{inner}/meta.json", f"{metadata}/RECORD"]
        names += [f"{inner}/{number:05}.bin" for number in range(count - len(names))]
    elif lock is None:
        names = [f"part-{number // 500:03}/{number:05}.bin" for number in range(count)]
    else:
        known = entry.files if entry is not None else {}
        names = [
            name
            for pattern in source.files
            for name in (fnmatch.filter(known, pattern) or [pattern.replace("*", "1")])
        ]
        return {
            name: (known[name].bytes or _SMALL, known[name].sha256 or _NO_HASH)
            if name in known
            else (_SMALL, _NO_HASH)
            for name in names
        }
    return dict.fromkeys(names, (_SMALL, _NO_HASH))


def _make_model(model: Model, places: Places, files: Mapping[str, tuple[int, str]]) -> ModelRecord:
    place, folder = source_folder(model.source)
    root = places.of(place).path
    put: Callable[[Path, int], None] = _write_sparse
    if isinstance(model.source, HuggingFaceSource):
        blobs = root / repository_folder(model.source.repository) / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        put = _linked_to(blobs)
    found = []
    for name, (size, sha256) in files.items():
        put(root / folder / name, size)
        found.append(FileRecord(place, f"{folder}/{name}", size, sha256))
    record = ModelRecord(model_digest(model), model.key, model.source_name, model.revision, tuple(found))
    _write(model_record_path(places, record.digest), dump_model_record(record))
    return record


def _linked_to(blobs: Path) -> Callable[[Path, int], None]:
    numbers = itertools.count()

    def put(path: Path, size: int) -> None:
        blob = blobs / f"{next(numbers):040x}"
        _write_sparse(blob, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(blob, path.parent))

    return put


def _write_sparse(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    main()
