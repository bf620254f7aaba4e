"""Small models are trained once and kept, and are complete or absent."""

import json
from pathlib import Path

import pytest

from tests.support.small_models import SmallModels, small_models
from tests.support.small_models.build import DEFAULT_OUT, Progress
from tests.support.small_models.small_models import SCORES


class FakeBuild:
    """A fake training: writes the files, or raises in the middle."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.breaks = breaks
        self.folders: list[Path] = []

    def __call__(self, folder: Path, progress: Progress) -> None:
        self.folders.append(folder)
        folder.mkdir()
        (folder / "half.bin").touch()
        if self.breaks:
            raise KeyboardInterrupt
        (folder / SCORES).write_text(json.dumps({"seconds": 1.0, "models": {}}))


def test_existing_models_are_used_and_not_trained_again(models: SmallModels) -> None:
    again = FakeBuild()
    assert small_models(DEFAULT_OUT, build=again) == models
    assert again.folders == []


def test_an_interrupted_run_leaves_no_models_and_the_next_one_trains_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        small_models(out, build=FakeBuild(breaks=True))
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == []
    made = small_models(out, build=FakeBuild())
    assert sorted(path.name for path in out.iterdir()) == [".lock", made.folder.name]


def test_the_folder_appears_only_when_all_is_in_it(tmp_path: Path) -> None:
    build = FakeBuild()
    made = small_models(tmp_path / "out", build=build)
    assert build.folders != [made.folder]
    assert {path.name for path in made.folder.iterdir()} == {"half.bin", SCORES}
