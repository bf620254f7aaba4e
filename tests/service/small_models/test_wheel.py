"""The wheel of the entities model has the structure of spaCy's release wheels."""

import base64
import csv
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import spacy

from tests.service.small_models.plain_libraries import pipeline_folder
from tests.support.small_models import SmallModels
from tests.support.small_models.entities import LABELS, PACKAGE, VERSION
from tests.support.small_models.wheel import WheelMetadata, write_model_wheel


def test_the_pipeline_loads_from_its_folder_with_the_four_labels(installed: Path) -> None:
    nlp = spacy.load(pipeline_folder(installed))
    assert (nlp.meta["lang"], nlp.meta["name"], nlp.meta["version"]) == ("de", "demo_news_sm", VERSION)
    assert tuple(sorted(nlp.pipe_labels["ner"])) == LABELS
    assert len(list(nlp("Das ist eins. Das sind zwei.").sents)) == 2


def test_the_package_loads_itself_and_is_found_by_name(installed: Path) -> None:
    code = f"import {PACKAGE}, spacy; print({PACKAGE}.__version__, {PACKAGE}.load().lang, spacy.load('{PACKAGE}').lang)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [VERSION, "de", "de"]


def test_the_record_states_every_file_with_its_hash(models: SmallModels) -> None:
    (wheel,) = (models.hub / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        record = f"{PACKAGE}-{VERSION}.dist-info/RECORD"
        rows = {row[0]: row[1:] for row in csv.reader(archive.read(record).decode().splitlines())}
        assert set(rows) == set(archive.namelist())
        assert rows.pop(record) == ["", ""]
        for path, (digest, size) in rows.items():
            content = archive.read(path)
            hashed = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, int(size)) == (f"sha256={hashed}", len(content))


def test_the_same_pipeline_gives_the_same_bytes(tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline"
    (pipeline / "ner").mkdir(parents=True)
    (pipeline / "meta.json").write_text("{}")
    (pipeline / "ner" / "model").write_bytes(b"weights")
    wheels = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (pipeline / "meta.json").touch()
        wheels.append(
            write_model_wheel(tmp_path / name, WheelMetadata("de_a", "1.0.0"), pipeline).read_bytes()
        )
    assert wheels[0] == wheels[1]
