"""A package that is missing is named with the extra that has it, before a text is read or computed."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from qda_worker.client.extra_packages import import_package

_HEAD: Final = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
from pathlib import Path
from model_cache.errors import UsageError
"""
# Each uses packages, which are made unavailable to a process of its own.
_USES: Final = {
    "xlsx": (
        "from qda_worker.client.tables.output_file import FileFormat, OutputFile",
        'OutputFile(Path("r"), FileFormat(".xlsx"), {"command": "sentiment"})',
    ),
    "parquet": (
        "from qda_worker.client.tables.output_file import FileFormat, OutputFile",
        'OutputFile(Path("r"), FileFormat(".parquet"), {"command": "sentiment"})',
    ),
    "pdf": (
        "from io import BytesIO; from qda_worker.client.readers.pdf import read_pdf",
        'read_pdf(BytesIO(b"%PDF-1.4"), "a.pdf", print)',
    ),
    "data frame": ("from qda_worker.client import to_dataframe", "to_dataframe([])"),
    "polars": ("from qda_worker.client import to_dataframe", 'to_dataframe([], library="polars")'),
}


@pytest.mark.parametrize(
    ("use", "absent", "extra"),
    [
        ("xlsx", "openpyxl", "files"),
        ("parquet", "pyarrow", "tables"),
        ("pdf", "pypdf", "files"),
        ("polars", "polars", "polars"),
        ("data frame", "pandas,polars", "pandas"),
    ],
)
def test_a_missing_package_is_reported_with_its_extra(
    tmp_path: Path, use: str, absent: str, extra: str
) -> None:
    imports, call = _USES[use]
    code = f"{_HEAD}{imports}\ntry:\n    {call}\nexcept UsageError as error:\n    print(error)\n"
    command = [sys.executable, "-c", code, absent]
    answer = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60, cwd=tmp_path)
    assert f"needs the package {absent.replace(',', ' or ')}, " in answer.stdout
    assert f"pip install 'qda-worker[{extra}]'" in answer.stdout
    assert not list(tmp_path.glob("r*"))


def test_a_package_that_is_there_is_imported() -> None:
    assert import_package("openpyxl.cell", "XLSX").__name__ == "openpyxl.cell"
