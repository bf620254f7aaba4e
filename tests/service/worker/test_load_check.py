"""`cache-check --load` and `--record` with real models, each loaded in a process of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.service.worker.fixtures import CacheFixture

KEYS: Final = ("--model", "tiny-embedding", "--model", "tiny-ner")


def cache_check(cache_fixture: CacheFixture, *more: str) -> tuple[int, dict[str, Any]]:
    command = [
        sys.executable, "-m", "model_cache.check.cli", "--catalog", str(cache_fixture.catalog_file), "--cache",
        str(cache_fixture.cache), "--format", "json", *more,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_model_whose_answers_differ_from_the_recorded_is_unusable(
    cache_fixture: CacheFixture, tmp_path: Path
) -> None:
    """Check recording and comparison in one test, because loading takes seconds.

    The paraphrase model is of the same kind as the embedding model.
    """
    mine = CacheFixture(tmp_path / "copy")
    shutil.copytree(cache_fixture.folder, mine.folder, symlinks=True)
    lock = mine.folder / "catalog.lock.json"
    before = {path: path.stat() for path in mine.cache.rglob("*")}

    code, document = cache_check(mine, *KEYS, "--record", str(lock))
    assert (code, document["tier"]) == (0, "load")
    assert document["notes"] == [f"10 answers were recorded in {lock}"]

    recorded = json.loads(lock.read_text("utf-8"))
    kinds = [answer["kind"] for answer in recorded["models"]["tiny-embedding"]["answers"]]
    assert kinds == ["dimension", "vector", "similarity", "similarity", "sparse", "max_similarity"]
    recorded["models"]["tiny-ner"]["answers"][1]["value"] = [[0, 3, "PER"]]
    lock.write_text(json.dumps(recorded), "utf-8")

    code, document = cache_check(mine, *KEYS, "--load")
    assert (code, document["reason"]) == (12, "MODEL_UNUSABLE")
    entities, embedding = sorted(document["models"], key=lambda model: model["task"], reverse=True)
    assert [one["difference"] for one in embedding["loaded"]["compared"]] == [None] * 6
    (problem,) = entities["problems"]
    assert 'instead of [[0, 3, "PER"]]' in problem["detail"]
    assert {path: path.stat() for path in mine.cache.rglob("*")}.keys() == before.keys(), "nothing is written"


def test_a_model_with_broken_metadata_is_unusable(cache_fixture: CacheFixture, tmp_path: Path) -> None:
    mine = CacheFixture(tmp_path / "copy")
    shutil.copytree(cache_fixture.folder, mine.folder, symlinks=True)
    meta = mine.path("tiny-ner") / "meta.json"
    meta.write_text("{")
    mine.publish()

    code, document = cache_check(mine, "--model", "tiny-ner", "--load")

    assert (code, document["reason"]) == (12, "MODEL_UNUSABLE")
    assert document["models"][0]["problems"][0]["detail"].startswith("model tiny-ner: ")
    assert "loaded" not in document["models"][0]
