"""R by reticulate, with the base install in a Python of its own, and the R of the pages."""

from pathlib import Path
from typing import Final

from tests.support.example_programs import ROOT, base_python, needed, run
from tests.support.page_blocks import read_blocks

INSTALL: Final = "apt-get install --no-install-recommends r-base-core r-cran-reticulate"


def test_r_makes_a_data_frame_and_cuts_out_what_positions_mean(target: str) -> None:
    rscript = needed("Rscript", INSTALL)
    script = str(Path("examples") / "r/interview.R")
    output = run([rscript, script], target, RETICULATE_PYTHON=base_python())
    rows = {line.split()[0]: sum(map(int, line.split()[1:])) for line in output.splitlines()[2:5]}
    statements = (ROOT / "demo/interview.txt").read_text("utf-8").splitlines()
    assert rows == {who: sum(line.startswith(f"{who}:") for line in statements) for who in ("I", "B1", "B2")}
    assert "Ayşe Yılmaz (PER), Kassel (LOC), Bremen (LOC)" in output


def test_the_r_of_a_page_cuts_out_what_positions_mean(tmp_path: Path) -> None:
    text = "B1: 😀 Grüße aus Köln.\r\nI: Und sonst?\r\n"
    (tmp_path / "interview.txt").write_text(text, "utf-8", newline="")
    [block] = [block for block in read_blocks(ROOT / "docs/calling.md") if block.language == "r"]
    start = text.index("Köln")
    program = f"start <- {start}; end <- {start + 4}\n{block.text}"
    assert "Köln" in run([needed("Rscript", INSTALL), "-e", program], "", tmp_path)
