"""From interviews to a REFI-QDA project, and pseudonyms, by the program and the models of a worker."""

import csv
import zipfile
from pathlib import Path
from typing import Final

import pytest
from lxml import etree

from qda_worker.client.cli.main import qda_client
from tests.service.worker.process import ServeProcess

INTERVIEW: Final = (
    "I: 😀 Frau Müller, wo wohnen Sie?\r\n\r\nB1: #00:00:07-1# Ich wohne in Köln. Das ist schön.\r\n\r\n"
    "I: Und Müllers Telefon ist 0221 1234567?\r\n"
)
SCHEMA: Final = Path(__file__).parents[2] / "data" / "refi_qda" / "Project.xsd"


@pytest.fixture
def interview(tmp_path: Path) -> Path:
    path = tmp_path / "interview.txt"
    path.write_bytes(INTERVIEW.encode())
    return path


def test_results_become_a_valid_project_with_exact_places(
    worker: ServeProcess, interview: Path, tmp_path: Path
) -> None:
    path = tmp_path / "study.qdpx"
    target = ("--target", worker.address, "--quiet")
    assert qda_client(["analyze", *target, str(interview), "--offsets", "utf-16", "-o", str(path)], {}) == 0
    with zipfile.ZipFile(path) as archive:
        tree = etree.ElementTree(etree.fromstring(archive.read("project.qde")))
        etree.XMLSchema(etree.parse(SCHEMA)).assertValid(tree)
        names = {"q": "urn:QDA-XML:project:1.0"}
        (source,) = tree.iterfind(".//q:TextSource", names)
        text = archive.read(source.attrib["plainTextPath"].replace("internal://", "sources/")).decode()
    assert text == INTERVIEW.replace("\r\n", "\n")
    codes = {each.get("guid"): each.get("name") for each in tree.iterfind(".//q:Code", names)}
    coded = {
        (
            text[int(each.attrib["startPosition"]) : int(each.attrib["endPosition"])],
            codes[ref.get("targetGUID")],
        )
        for each in source.iterfind("q:PlainTextSelection", names)
        for ref in each.iterfind("q:Coding/q:CodeRef", names)
    }
    statement = "Ich wohne in Köln. Das ist schön."
    assert {("Köln", "LOC"), ("Müller", "PER"), (statement, "B1")} <= coded
    assert {code for words, code in coded if words == statement} & {"positive", "neutral", "negative"}


def test_names_are_replaced_and_come_back(worker: ServeProcess, interview: Path, tmp_path: Path) -> None:
    review, out, key, back = (str(tmp_path / name) for name in ("review.csv", "out", "key.json", "back"))
    step = ["pseudonymize", "--target", worker.address, "--quiet", str(interview)]
    assert qda_client([*step, "--review", review], {}) == 0
    with open(review, encoding="utf-8-sig", newline="") as file:
        found = {row["form"]: row["placeholder"] for row in csv.DictReader(file, delimiter=";")}
    assert found["Müllers"] == found["Müller"]
    assert qda_client([*step, "--apply", review, "-o", out, "--key", key], {}) == 0
    new = (Path(out) / "interview.txt").read_bytes().decode()
    assert not any(form in new for form in ("Müller", "Köln", "0221"))
    assert f"Frau {found['Müller']}, wo" in new
    assert qda_client(["pseudonymize", out, "--restore", key, "-o", back], {}) == 0
    assert (Path(back) / "interview.txt").read_bytes() == INTERVIEW.encode()
