"""A package that is missing is named before a text is computed."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from qda_worker.client.tables.packages import require_package

# In a process of its own, because the package is made unavailable to all of it.
_OPEN: Final = """
import sys
sys.modules[sys.argv[1]] = None
from pathlib import Path
from model_cache.errors import UsageError
from qda_worker.client.tables.file_formats import FileFormat
from qda_worker.client.tables.output_file import (OutputFile)
try:
    OutputFile(Path(sys.argv[3]), FileFormat(sys.argv[2]), {"command": "sentiment"})
except UsageError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("package", "form", "extra"), [("openpyxl", ".xlsx", "files"), ("pyarrow", ".parquet", "tables")]
)
def test_a_missing_package_is_reported_before_the_run(
    tmp_path: Path, package: str, form: str, extra: str
) -> None:
    command = [sys.executable, "-c", _OPEN, package, form, str(tmp_path / "r")]
    answer = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    assert f"needs the package {package}, which is not installed" in answer.stdout
    assert f"qda-worker[{extra}]" in answer.stdout
    assert not list(tmp_path.glob("r*"))


def test_other_formats_need_no_package() -> None:
    require_package("csv")
