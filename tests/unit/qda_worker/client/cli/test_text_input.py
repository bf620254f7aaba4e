"""The input of a command is not its output."""

from pathlib import Path

import pytest

from model_cache.errors import UsageError
from qda_worker.client.cli.text_input import refuse_output_as_input


def test_a_file_is_not_input_and_output_whatever_its_name(tmp_path: Path) -> None:
    file, link = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_text("id;text\n")
    link.symlink_to(file)
    for given in (str(file), str(link), f"{tmp_path}/./a.csv"):
        with pytest.raises(UsageError, match="is the input, too"):
            refuse_output_as_input(["-", given], [tmp_path / "missing.csv", file])
    refuse_output_as_input(["-", str(tmp_path), "missing.csv"], [file, tmp_path / "missing.csv"])
