"""spaCy packages that pip installed before: used if their content is the catalog's, else not changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.host.homes import Home, listing
from tests.service.host.test_already_there import changed_paths


def pip_install(home: Home, folder: Path, wheel: Path) -> None:
    """Run `pip install --target FOLDER WHEEL` with the real pip."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-index", "--no-compile", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HOME": str(home.path)})


def test_a_package_in_the_spacy_folder_is_used(home: Home) -> None:
    pip_install(home, home.spacy, home.workspace.wheel)
    before = listing(home.path)

    outcome = home.warm("three")

    assert (outcome.reason, outcome.document["bytes_fetched"]) == ("OK", 0)
    assert home.workspace.hub.log.bytes_sent() <= 1, "only the size of the wheel is requested"
    assert changed_paths(before, listing(home.path)) == []
    code, document = home.check("--model", "three", "--deep")
    assert (code, document["notes"]) == (0, []), "the installed name and the record are the same files"
    theirs = home.spacy / "de_tiny/de_tiny-1.0.0/vocab/vectors"
    assert (home.folder_of("three") / "vocab/vectors").samefile(theirs), "it costs no space"


def test_adopted_files_stay_when_the_package_is_removed(home: Home) -> None:
    pip_install(home, home.spacy, home.workspace.wheel)
    home.warm("three")
    for name in ("de_tiny", "de_tiny-1.0.0.dist-info"):
        subprocess.run(["rm", "-r", str(home.spacy / name)], check=True)
    pip_install(home, home.spacy, home.workspace.newer_wheel)
    before = listing(home.spacy / "de_tiny")

    assert home.warm("three").document["bytes_fetched"] == 0

    assert home.check("--model", "three", "--deep")[0] == 0
    assert listing(home.spacy / "de_tiny") == before, "a package of another version is not changed"


@pytest.mark.parametrize("damage", ["another version", "no hash noted", "another wheel", "a file was edited"])
def test_an_unverified_package_stays_and_the_wheel_is_fetched(home: Home, damage: str) -> None:
    pip_install(
        home, home.spacy, home.workspace.newer_wheel if damage == "another version" else home.workspace.wheel
    )
    dist_info = home.spacy / "de_tiny-1.0.0.dist-info"
    if damage == "no hash noted":
        (dist_info / "direct_url.json").unlink()
    elif damage == "another wheel":
        note = {"url": "https://x.invalid/y.whl", "archive_info": {"hashes": {"sha256": "0" * 64}}}
        (dist_info / "direct_url.json").write_text(json.dumps(note))
    elif damage == "a file was edited":
        (home.spacy / "de_tiny/de_tiny-1.0.0/meta.json").write_text('{"name": "mine"}')
    before = listing(home.path)

    outcome = home.warm("three")

    assert outcome.reason == "OK"
    assert outcome.document["bytes_fetched"] > 0
    assert changed_paths(before, listing(home.path)) == []
    assert not [path for path in home.spacy.iterdir() if path.is_symlink()], (
        "no link of ours beside the package"
    )
    assert home.check("--model", "three", "--deep")[0] == 0


def test_a_note_explains_how_to_load_either_of_two_versions(home: Home) -> None:
    pip_install(home, home.spacy, home.workspace.newer_wheel)
    home.warm()

    (note,) = home.check()[1]["notes"]

    assert f"{home.spacy}/de_tiny is not ours" in note
    assert f'spacy.load("{home.folder_of("three")}")' in note


def test_a_package_in_this_pythons_site_packages_is_used(home: Home, tmp_path: Path) -> None:
    """Install it as `spacy download` does: on the path of the Python that runs the warmer."""
    site = tmp_path / "site"
    pip_install(home, site, home.workspace.wheel)
    before = listing(site)
    environ = {**os.environ, "HOME": str(home.path), "PYTHONPATH": str(site)}
    arguments = home.workspace.arguments("warm", "--model", "three")
    arguments[arguments.index("--cache") + 1] = "host"

    ended = subprocess.run(
        [sys.executable, "-m", "cache_warmer", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["bytes_fetched"] == 0
    assert "taken over from" in ended.stderr
    assert listing(site) == before
    assert (home.spacy / "de_tiny").is_symlink(), "the name was free"
