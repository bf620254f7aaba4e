"""The current spaCy package, and packages that are not ours."""

from pathlib import Path

import pytest

from cache_warmer.artifacts.package_links import update_package_links
from cache_warmer.disk import atomic
from model_cache.containment import CacheBoundary


def unpacked_wheel(place: Path, version: str) -> Path:
    folder = place / ".packages" / f"de_tiny-{version}-12345678"
    for name, content in [
        ("de_tiny/meta.json", version),
        (f"de_tiny-{version}.dist-info/RECORD", version),
    ]:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content)
    return folder


def test_the_current_package_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    update_package_links(tmp_path, unpacked_wheel(tmp_path, "1.0"), "de_tiny", CacheBoundary(tmp_path))
    update_package_links(tmp_path, unpacked_wheel(tmp_path, "2.0"), "de_tiny", CacheBoundary(tmp_path))

    assert (tmp_path / "de_tiny/meta.json").read_text() == "2.0"
    assert [path.name for path in tmp_path.glob("*.dist-info")] == ["de_tiny-2.0.dist-info"]
    assert (tmp_path / ".packages/de_tiny-1.0-12345678/de_tiny/meta.json").read_text() == "1.0"


def test_without_links_the_current_package_is_a_copy_that_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "replace_link", lambda *_: False)

    for version in ("1.0", "1.0", "2.0", "1.0"):
        folder = tmp_path / ".packages" / f"de_tiny-{version}-12345678"
        tree = folder if folder.exists() else unpacked_wheel(tmp_path, version)
        update_package_links(tmp_path, tree, "de_tiny", CacheBoundary(tmp_path))
        assert not (tmp_path / "de_tiny").is_symlink()
        assert (tmp_path / "de_tiny/meta.json").read_text() == version
        assert [path.name for path in tmp_path.glob("*.dist-info")] == [f"de_tiny-{version}.dist-info"]


def test_a_package_that_the_user_installed_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "de_tiny").mkdir()
    (tmp_path / "de_tiny/meta.json").write_text("theirs")
    (tmp_path / "de_tiny-0.9.dist-info").mkdir()

    update_package_links(tmp_path, unpacked_wheel(tmp_path, "1.0"), "de_tiny", CacheBoundary(tmp_path))

    assert (tmp_path / "de_tiny/meta.json").read_text() == "theirs"
    assert (tmp_path / "de_tiny-0.9.dist-info").is_dir()
