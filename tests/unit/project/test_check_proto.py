"""scripts/check-proto decides which proto the current one is compared with, and what is an error in CI only.

`buf` and the generator are stand-ins that write down how they were called.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
BUF: Final = """#!/bin/sh
echo "buf $*"
[ "$1" = breaking ] && echo "agreed: $(cat "$3/proto/qda/v1/text.proto")"
exit 0
"""
GENERATOR: Final = """#!/bin/sh
mkdir -p "$1/qda" && cp proto/qda/v1/text.proto "$1/qda/text_pb2.py"
"""
DOCUMENT: Final = "src/qda_worker/http/openapi/openapi.json"
DOCUMENT_GENERATOR: Final = """#!/bin/sh
printf 'generated' >"$1"
"""


@dataclass(frozen=True, slots=True)
class Repository:
    """A checkout with one proto, its stub, the OpenAPI document, and the script."""

    folder: Path
    programs: Path

    def write(self, path: str, text: str, *, executable: bool = False) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if executable else 0o644)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git(
            "-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "--quiet", "-m", message
        )

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-c", "init.defaultBranch=main", *arguments], cwd=self.folder, check=True)

    def check(self, *, ci: bool = False) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.programs}:/usr/bin:/bin", "HOME": os.environ["HOME"]} | (
            {"CI": "true"} if ci else {}
        )
        return subprocess.run(
            ["scripts/check-proto"],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=60,
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "buf").write_text(BUF)
    (programs / "buf").chmod(0o755)
    made = Repository(tmp_path / "checkout", programs)
    made.write("scripts/generate-stubs", GENERATOR, executable=True)
    made.write("scripts/generate-openapi", DOCUMENT_GENERATOR, executable=True)
    made.write(DOCUMENT, "generated")
    made.write("scripts/check-proto", (ROOT / "scripts" / "check-proto").read_text(), executable=True)
    made.write("buf.yaml", "version: v2")
    made.write("third_party/proto/any.proto", "")
    made.write("proto/qda/v1/text.proto", "first")
    made.write("src/qda/text_pb2.py", "first")
    made.git("init", "--quiet")
    return made


def change_proto(repository: Repository, text: str) -> None:
    repository.write("proto/qda/v1/text.proto", text)
    repository.write("src/qda/text_pb2.py", text)


def test_the_proto_is_compared_with_that_of_the_last_agreement(repository: Repository) -> None:
    repository.write("proto/AGREED", "1")
    repository.commit("agreed")
    change_proto(repository, "second")
    repository.commit("grown, not agreed anew")
    change_proto(repository, "third")
    answer = repository.check(ci=True)
    assert answer.returncode == 0, answer.stdout
    assert "agreed: first" in answer.stdout
    assert "buf lint" in answer.stdout


def test_a_new_agreement_is_compared_with_nothing(repository: Repository) -> None:
    repository.commit("before any agreement")
    repository.write("proto/AGREED", "1")
    answer = repository.check(ci=True)
    assert answer.returncode == 0, answer.stdout
    assert "is not committed yet" in answer.stdout
    assert "buf breaking" not in answer.stdout


@pytest.mark.parametrize("ci", [False, True])
def test_without_any_agreement_ci_fails_and_a_local_run_warns(repository: Repository, ci: bool) -> None:
    repository.commit("no agreement")
    answer = repository.check(ci=ci)
    assert answer.returncode == (1 if ci else 0)
    assert "no version is agreed: buf breaking is skipped" in answer.stdout


@pytest.mark.parametrize("ci", [False, True])
def test_a_shallow_clone_is_never_compared_with_itself(repository: Repository, ci: bool) -> None:
    repository.write("proto/AGREED", "1")
    repository.commit("agreed")
    change_proto(repository, "second")
    repository.commit("later")
    shallow = Repository(repository.folder.with_name("shallow"), repository.programs)
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(shallow.folder))
    answer = shallow.check(ci=ci)
    assert answer.returncode == (1 if ci else 0)
    assert "this clone is shallow" in answer.stdout
    assert "agreed: second" not in answer.stdout


@pytest.mark.parametrize("ci", [False, True])
def test_without_git_ci_fails_and_a_local_run_warns(repository: Repository, ci: bool) -> None:
    shutil.rmtree(repository.folder / ".git")
    answer = repository.check(ci=ci)
    assert answer.returncode == (1 if ci else 0)
    assert "not a git checkout" in answer.stdout


@pytest.mark.parametrize("ci", [False, True])
def test_a_missing_buf_is_named_and_in_ci_an_error(repository: Repository, ci: bool) -> None:
    (repository.programs / "buf").unlink()
    answer = repository.check(ci=ci)
    assert answer.returncode == (1 if ci else 0)
    assert "buf is not installed" in answer.stdout


def test_stubs_that_the_proto_does_not_give_are_named(repository: Repository) -> None:
    repository.write("proto/AGREED", "1")
    repository.write("proto/qda/v1/text.proto", "second")
    answer = repository.check()
    assert answer.returncode == 1
    assert "src/qda/text_pb2.py differ" in answer.stdout
    assert "run make proto" in answer.stdout


def test_an_openapi_document_that_is_not_the_generated_one_is_named(repository: Repository) -> None:
    repository.write("proto/AGREED", "1")
    repository.write(DOCUMENT, "older")
    answer = repository.check()
    assert answer.returncode == 1
    assert f"{DOCUMENT} does not match" in answer.stdout
