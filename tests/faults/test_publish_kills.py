"""SIGKILL at any instant of a publication: a form is whole or not there, and the next run needs no help."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.faults.fixtures import SOURCE, random_bytes
from tests.support.cache_trees import SENTIMENT, SENTIMENT_FILES, build_cache
from tests.support.prepared_forms import form_of, write_form

KILLS: Final = int(os.environ.get("FAULTS_KILLS", "50"))
SEED: Final = int(os.environ.get("FAULTS_SEED", str(time.time_ns() % 100_000)))
# Bytes of the form's big file: long enough that kills fall into its copy.
BIG: Final = 60_000_000

_FORM: Final = re.compile(r"[0-9a-z.+]{1,8}-(bf16|int8)-[0-9a-f]{8}")


def test_after_random_kills_every_form_in_the_cache_is_whole(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Kill each run after another delay; damage or delete what is published, so that there is work again."""
    random_delay = random.Random(SEED)
    cache, prepared = tmp_path / "cache", tmp_path / "cache/.model-cache/prepared/mood"
    build_cache(cache)
    catalog = write_catalog(tmp_path / "catalog.yaml")
    form = write_big_form(tmp_path / "form")
    command = [sys.executable, "-m", "cache_warmer", "publish", str(form), "--catalog", str(catalog)]
    command += ["--cache", str(cache), "--format", "json", "--quiet"]
    start = time.monotonic()
    assert run(command) == "published"
    seconds = time.monotonic() - start
    finished = 0
    for number in range(KILLS):
        for published in forms_in(prepared):
            (published / "weights.bin").write_bytes(b"damaged") if number % 2 else remove(published)
        child = subprocess.Popen(command, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random_delay.uniform(0.1, 1.2) * seconds)
        finished += child.poll() == 0
        child.kill()
        child.wait()
        for published in forms_in(prepared):
            # damaged before this run, or whole
            is_old = (published / "weights.bin").stat().st_size == len(b"damaged")
            assert is_old or wrong_files(published) == [], f"kill {number} of seed {SEED}"

    assert run(command) in ("published", "unchanged")

    (published,) = forms_in(prepared)
    assert wrong_files(published) == []
    assert list(prepared.iterdir()) == [published]
    record_property("figures", f"seed {SEED}: {KILLS} kills, {finished} runs ended before theirs")


def write_catalog(path: Path) -> Path:
    source = SENTIMENT.source._asdict()
    model = {"key": SENTIMENT.key, "task": SENTIMENT.task, "huggingface": source}
    serving = {"labels": {"A": "positive", "B": "negative"}, "precision": "int8"}
    document = {"apiVersion": "qda/v1", "kind": "Catalog", "models": [{**model, "serving": serving}]}
    path.write_text(json.dumps(document))
    return path


def write_big_form(folder: Path) -> Path:
    files = {"weights.bin": random_bytes(BIG, 5), "sub/graph.xml": b"<net/>"}
    write_form(folder, form_of(SENTIMENT, SENTIMENT_FILES, files), files)
    return folder


def run(command: list[str]) -> str:
    done = subprocess.run(command, env=environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["forms"][0]["outcome"])


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE)}


def forms_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _FORM.fullmatch(path.name)] if folder.is_dir() else []


def wrong_files(form: Path) -> list[str]:
    """Return what differs from the record of a form, without code of the project."""
    record = (form / "form.json").read_bytes()
    listed = {file["path"]: file["sha256"] for file in json.loads(record)["files"]}
    found = {
        str(path.relative_to(form)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in form.rglob("*")
        if path.is_file() and path != form / "form.json"
    }
    wrong = [name for name in {**listed, **found} if listed.get(name) != found.get(name)]
    return wrong if hashlib.sha256(record).hexdigest().startswith(form.name[-8:]) else [*wrong, "form.json"]


def remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
