"""`cache-check` on prepared forms: what it prints, and that its exit code is that of the generation."""

import json
from pathlib import Path

import pytest

from model_cache.prepared_form import PreparedForm, digest_of, dump_form
from model_cache.prepared_store import form_folder
from tests.support.cache_trees import SENTIMENT, SENTIMENT_FILES, CacheTree
from tests.support.prepared_forms import form_of, write_form
from tests.unit.model_cache.check.test_cli import CATALOG, cache_check_in, document
from tests.unit.model_cache.check.test_cli import tree as tree  # noqa: PLC0414  # the fixture


def ask(tree: CacheTree, precision: str = "int8") -> None:
    serving = f"    serving: {{precision: {precision}, labels: {{A: positive, B: negative}}}}\n"
    text = CATALOG.replace("  - key: names\n", f"{serving}  - key: names\n")
    (tree.root.parent / "c.yaml").write_text(text)


def put(tree: CacheTree) -> Path:
    form: PreparedForm = form_of(SENTIMENT, SENTIMENT_FILES)
    folder = form_folder(tree.places, form, digest_of(dump_form(form)))
    write_form(folder, form)
    return folder


def test_a_form_that_the_catalog_asks_for_and_that_is_missing_is_told_with_the_command(
    tree: CacheTree,
) -> None:
    ask(tree)
    code, out, _ = cache_check_in(tree)

    assert code == 0
    assert "prepared: mood in int8: CACHE_INCOMPLETE" in out
    assert "qda-worker prepare --model mood --precision int8 --out mood-int8" in out
    assert f"cache-warmer publish mood-int8 --catalog {tree.root.parent}/c.yaml --cache {tree.root}" in out
    assert out.splitlines()[-1].startswith("OK")


def test_in_a_cluster_the_command_is_that_of_the_release(tree: CacheTree) -> None:
    ask(tree)
    _, out, _ = cache_check_in(tree, QDA_PREPARE_COMMAND="helm upgrade x")

    assert "Remedy: run `helm upgrade x`" in out
    assert "qda-worker prepare" not in out


def test_json_has_each_form(tree: CacheTree) -> None:
    ask(tree)
    folder = put(tree)
    code, report = document(tree)

    assert code == 0
    (form,) = report["prepared"]
    assert (form["key"], form["precision"], form["asked"], form["reason"], form["path"]) == (
        "mood", "int8", True, "OK", str(folder),
    )  # fmt: skip
    assert form["variants"] == ["openvino-static", "torch-dynamic"]
    assert document(tree, "--model", "names")[1]["prepared"] == []


@pytest.mark.parametrize(
    ("argv", "reason"), [([], "OK"), (["--deep"], "CACHE_CORRUPT"), (["--prepared"], "OK")]
)
def test_only_the_deep_check_reads_the_files_of_a_form(tree: CacheTree, argv: list[str], reason: str) -> None:
    ask(tree)
    (put(tree) / "notes.txt").write_bytes(b"SHARED")
    code, report = document(tree, *argv)

    assert (code, report["reason"]) == (0, "OK")
    assert [form["reason"] for form in report["prepared"]] == [reason]


@pytest.mark.parametrize(("is_there", "code"), [(False, 10), (True, 0)])
def test_with_prepared_a_missing_form_decides_the_exit_code(
    tree: CacheTree, is_there: bool, code: int
) -> None:
    ask(tree)
    if is_there:
        put(tree)
    found, report = document(tree, "--prepared")

    assert found == code
    assert report["reason"] == ("OK" if is_there else "CACHE_INCOMPLETE")
    table = cache_check_in(tree, "--prepared")[1]
    verdict = [line for line in table.splitlines() if not line.startswith("more: ")][-1]
    assert ("Remedy: run `qda-worker prepare" in verdict) is not is_there


def test_with_prepared_a_form_that_nobody_asks_for_decides_nothing(tree: CacheTree) -> None:
    (put(tree) / "notes.txt").unlink()

    assert cache_check_in(tree, "--prepared")[0] == 0


def test_the_deep_check_lists_what_no_form_has(tree: CacheTree) -> None:
    folder = put(tree)
    (folder / "more").write_bytes(b"x")
    (folder.parent / "other").mkdir()
    (folder.parent / ".staging.incomplete").mkdir()

    assert json.loads(cache_check_in(tree, "--deep", "--format", "json")[1])["unlisted"] == [
        f"{folder}/more",
        f"{folder.parent}/other/",
    ]
