"""Places of a cache on Windows, computed on any system."""

from pathlib import Path, PureWindowsPath
from typing import Final

import pytest

from model_cache.places import resolve_places

HOME: Final = Path(r"C:\Users\Ann Example")


def place(name: str, environ: dict[str, str]) -> PureWindowsPath:
    return PureWindowsPath(str(getattr(resolve_places("host", environ, HOME, "win32"), name).path))


@pytest.mark.parametrize(
    ("name", "environ", "path"),
    [
        ("hub", {}, r"C:\Users\Ann Example\.cache\huggingface\hub"),
        ("torch", {}, r"C:\Users\Ann Example\.cache\torch"),
        ("own", {}, r"C:\Users\Ann Example\.cache\qda-worker"),
        ("spacy", {}, r"C:\Users\Ann Example\AppData\Roaming\spacy"),
        ("spacy", {"APPDATA": r"D:\Roaming"}, r"D:\Roaming\spacy"),
        ("spacy", {"APPDATA": r"D:\Roaming", "SPACY_DATA": r"E:\s"}, r"E:\s"),
        ("hub", {"LOCALAPPDATA": r"C:\Local"}, r"C:\Users\Ann Example\.cache\huggingface\hub"),
        ("hub", {"HF_HOME": r"%USERPROFILE%\hf", "USERPROFILE": r"C:\Users\me"}, r"C:\Users\me\hf\hub"),
        ("hub", {"HF_HOME": r"~\hf"}, r"C:\Users\Ann Example\hf\hub"),
        ("hub", {"HF_HOME": "D:/models/hf"}, r"D:\models\hf\hub"),
        ("hub", {"HF_HUB_CACHE": r"\\server\share\hub"}, r"\\server\share\hub"),
        ("hub", {"HF_HUB_CACHE": r"\\?\D:\long\hub"}, r"D:\long\hub"),
        ("torch", {"TORCH_HOME": r"~/%DATA%", "DATA": "x"}, r"C:\Users\Ann Example\%DATA%"),
        ("own", {"QDA_RECORDS": r"$DATA\r", "DATA": "D:"}, r"D:\r"),
    ],
)
def test_places_follow_the_variables_and_the_home(name: str, environ: dict[str, str], path: str) -> None:
    found = place(name, environ)
    assert str(found) == path
    assert found.is_absolute()


def test_a_folder_on_a_drive_or_a_share_holds_all_places() -> None:
    for folder, hub in (
        (r"D:\models", r"D:\models\huggingface\hub"),
        ("D:/models/", r"D:\models\huggingface\hub"),
        (r"\\server\share", r"\\server\share\huggingface\hub"),
        (r"~\models", r"C:\Users\Ann Example\models\huggingface\hub"),
        (r"\\?\UNC\server\share\m", r"\\server\share\m\huggingface\hub"),
    ):
        places = resolve_places(folder, {}, HOME, "win32")
        assert str(places.hub.path) == hub
        assert places.label == folder


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_backslash_is_an_ordinary_character_elsewhere(platform: str) -> None:
    places = resolve_places("host", {"HF_HOME": r"/data/~\x%A%", "A": "a"}, Path("/home/me"), platform)
    assert str(places.hub.path) == r"/data/~\x%A%/hub"
