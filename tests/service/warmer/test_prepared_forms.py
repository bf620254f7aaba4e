"""Prepared forms beside a warmed generation: publish, repair, plan, export and import."""

import argparse
import hashlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cache_warmer.cli import COMMANDS, cache_warmer
from cache_warmer.commands.command import Invocation
from cache_warmer.commands.publish import run_publish
from cache_warmer.errors import GateFailed
from cache_warmer.kubernetes.events import EventRecorder, InvolvedObjects
from model_cache.catalog.catalog import Model, Precision
from model_cache.catalog.parse import load_catalog
from model_cache.cli.parser import OptionParser
from model_cache.errors import ModelCacheError, UsageError
from model_cache.prepared_failure import FAILURE_SUFFIX, FormFailure, write_failure
from model_cache.prepared_form import Gate
from model_cache.reasons import Reason
from tests.service.warmer.archives import Members, cache_of, change_members, export, import_
from tests.service.warmer.fixtures import Workspace
from tests.service.warmer.images import IMAGE, layers_of, unpack
from tests.support.fake_cluster import FakeCluster
from tests.support.prepared_forms import FILES, PASSED, form_of, write_form


def ask_for_int8(workspace: Workspace) -> Model:
    """Let the catalog ask for its first model in int8, and return that model."""
    document = yaml.safe_load(workspace.catalog.read_text())
    serving = {"precision": "int8", "labels": {"A": "positive", "B": "negative"}}
    document["models"][0]["serving"] = serving
    workspace.catalog.write_text(yaml.safe_dump(document))
    return load_catalog(workspace.catalog).models[0]


def source_files(workspace: Workspace) -> dict[str, bytes]:
    files = workspace.repositories[0].files
    return {name: files[name].source.read_bytes() for name in ("config.json", "model.safetensors")}


def publish(workspace: Workspace, *folders: Path, cache: Path | None = None) -> dict[str, Any]:
    out = io.StringIO()
    arguments = ["publish", *map(str, folders), "--catalog", str(workspace.catalog), "--format", "json"]
    code = cache_warmer(
        [*arguments, "--cache", str(cache or workspace.cache)], workspace.environ, out, io.StringIO()
    )
    assert code == 0
    return dict(json.loads(out.getvalue()))


@pytest.fixture
def form(workspace: Workspace, tmp_path: Path) -> Path:
    """Warm the cache with a catalog that asks for int8, and return a folder with the form."""
    model = ask_for_int8(workspace)
    assert workspace.warm().reason == "OK"
    write_form(tmp_path / "form", form_of(model, source_files(workspace)))
    return tmp_path / "form"


def published_below(cache: Path) -> dict[str, bytes]:
    folder = cache / ".model-cache/prepared"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_form_of_a_warmed_model_is_published_once(workspace: Workspace, form: Path) -> None:
    first, second = publish(workspace, form), publish(workspace, form)

    assert [first["forms"][0]["outcome"], second["forms"][0]["outcome"]] == ["published", "unchanged"]
    assert first["forms"][0]["asked"] is True
    assert len(published_below(workspace.cache)) == len(FILES) + 1


def test_all_forms_below_a_folder_are_published_and_none_is_no_error(
    workspace: Workspace, form: Path, tmp_path: Path
) -> None:
    (tmp_path / "all").mkdir()
    out = io.StringIO()
    arguments = ["publish", "--all", str(tmp_path / "all"), "--catalog", str(workspace.catalog)]
    arguments += ["--cache", str(workspace.cache)]
    assert cache_warmer(arguments, workspace.environ, out, io.StringIO()) == 0
    assert out.getvalue() == "OK: 0 forms\n"
    form.rename(tmp_path / "all/one")
    out = io.StringIO()
    assert cache_warmer(arguments, workspace.environ, out, io.StringIO()) == 0
    assert out.getvalue().splitlines()[-1] == "OK: 1 form"


def test_warm_repair_and_plan_name_the_command_that_makes_a_missing_form(workspace: Workspace) -> None:
    ask_for_int8(workspace)
    for outcome in (workspace.warm(), workspace.repair()):
        assert (outcome.code, outcome.reason) == (0, "OK")
        assert "in int8: " in outcome.err
        assert "qda-worker prepare --model" in outcome.err
    plan = workspace.plan()
    assert [form["reason"] for form in plan.document["prepared"]] == ["CACHE_INCOMPLETE"]


def test_repair_finds_a_damaged_form_which_it_cannot_fetch(workspace: Workspace, form: Path) -> None:
    publish(workspace, form)
    assert workspace.repair().err == ""
    (damaged,) = workspace.cache.glob(".model-cache/prepared/*/*/notes.txt")
    damaged.write_bytes(b"SHARED")

    outcome = workspace.repair()

    assert (outcome.code, outcome.reason) == (0, "OK")
    assert "a form cannot be fetched. Remedy: run `qda-worker prepare" in outcome.err
    assert publish(workspace, form)["forms"][0]["outcome"] == "published"
    assert workspace.repair().err == ""


def test_an_archive_carries_the_forms(workspace: Workspace, form: Path, tmp_path: Path) -> None:
    publish(workspace, form)
    export(workspace, tmp_path / "one.tar")
    export(workspace, tmp_path / "two.tar")
    other = cache_of(workspace, "other")

    assert import_(workspace, tmp_path / "one.tar", other).reason == "OK"

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert published_below(other) == published_below(workspace.cache)
    before = {path: path.stat().st_ino for path in other.rglob("prepared/*/*/*")}
    assert import_(workspace, tmp_path / "one.tar", other).reason == "OK"
    assert {path: path.stat().st_ino for path in other.rglob("prepared/*/*/*")} == before
    assert publish(workspace, form, cache=other)["forms"][0]["outcome"] == "unchanged"


def test_an_image_has_a_layer_for_each_form(workspace: Workspace, form: Path, tmp_path: Path) -> None:
    export(workspace, tmp_path / "without", *IMAGE)
    publish(workspace, form)
    export(workspace, tmp_path / "image", *IMAGE)

    without, layers = layers_of(tmp_path / "without"), layers_of(tmp_path / "image")
    assert layers[:-2] == without[:-1], "the layers of the models are the same"
    assert layers[-1] == without[-1], "and the records too"
    unpacked = unpack(tmp_path / "image", tmp_path / "unpacked")
    assert published_below(unpacked) == published_below(workspace.cache)
    assert publish(workspace, form, cache=unpacked)["forms"][0]["outcome"] == "unchanged"


def test_a_damaged_form_is_left_out_of_an_archive(workspace: Workspace, form: Path, tmp_path: Path) -> None:
    publish(workspace, form)
    for damaged in workspace.cache.glob(".model-cache/prepared/*/*/notes.txt"):
        damaged.unlink()
    export(workspace, tmp_path / "one.tar")
    other = cache_of(workspace, "other")

    assert import_(workspace, tmp_path / "one.tar", other).reason == "OK"
    assert published_below(other) == {}


def in_form(old: bytes, new: bytes) -> Callable[[Members], Members]:
    """Replace text in the record of the form inside `archive.json`."""

    def change(members: Members) -> Members:
        document = json.loads(members[0][1])
        document["forms"] = [text.encode().replace(old, new).decode() for text in document["forms"]]
        return [(members[0][0], json.dumps(document).encode()), *members[1:]]

    return change


def with_last(body: bytes) -> Callable[[Members], Members]:
    return lambda members: [*members[:-1], (members[-1][0], body)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_form(b'"passed": true,\n    "texts"', b'"passed": false,\n    "texts"'), "accuracy gate"),
        (in_form(hashlib.sha256(FILES["notes.txt"]).hexdigest().encode(), b"f" * 64), "should be"),
        (in_form(b'"notes.txt"', b'"../notes.txt"'), "leads out of its folder"),
        (in_form(b'"config.json"', b'"other.json"'), "was made from other.json"),
        (in_form(b'"version": 1', b'"version": 2'), "version 2"),
        (with_last(b"SHARED"), "has the sha256"),
        (with_last(b"longer than it was"), "bytes in it"),
        (lambda members: members[:-1], "ends where"),
        (lambda members: [*members, members[-1]], "which its manifest does not list"),
    ],
)
def test_a_changed_form_in_an_archive_is_refused(
    workspace: Workspace, form: Path, tmp_path: Path, change: Callable[[Members], Members], message: str
) -> None:
    publish(workspace, form)
    export(workspace, tmp_path / "one.tar")
    other = cache_of(workspace, "other")

    with pytest.raises(ModelCacheError) as refusal:
        import_(workspace, change_members(tmp_path / "one.tar", change), other)

    assert refusal.value.reason is Reason.CONTENT_MISMATCH
    assert message in refusal.value.message
    assert not list(other.glob(".model-cache/manifests/*"))
    assert published_below(other) == {}


def test_in_a_cluster_events_tell_what_was_published_and_what_was_refused(
    workspace: Workspace, form: Path, tmp_path: Path
) -> None:
    cluster = FakeCluster()
    objects = InvolvedObjects("texts", "job", "worker")
    events = EventRecorder(objects, lambda: cluster, lambda: datetime.now(UTC))
    bad = tmp_path / "bad"
    write_form(
        bad,
        form_of(
            load_catalog(workspace.catalog).models[0],
            source_files(workspace),
            gate=Gate(False, 200, PASSED),
        ),
    )

    def run(folder: Path) -> int:
        arguments = ["publish", str(folder), "--catalog", str(workspace.catalog), "--cache"]
        parsed = parse_arguments([*arguments, str(workspace.cache)])
        return run_publish(Invocation(parsed, workspace.environ, io.StringIO(), io.StringIO()), events)

    assert run(form) == 0
    assert run(form) == 0  # there already: no Event
    with pytest.raises(GateFailed):
        run(bad)

    first, *_, last = cluster.events
    assert (first["type"], first["reason"]) == ("Normal", "PUBLISHED")
    assert "one (int8)" in first["message"]
    assert (last["type"], last["reason"]) == ("Warning", "GATE_FAILED")
    assert {event["involvedObject"]["kind"] for event in cluster.events} == {"Job", "Deployment"}
    assert len(cluster.events) == 4


def test_a_form_that_could_not_be_made_is_an_event_after_the_others_are_published(
    workspace: Workspace, form: Path, tmp_path: Path
) -> None:
    cluster = FakeCluster()
    events = EventRecorder(
        InvolvedObjects("texts", "job", "worker"), lambda: cluster, lambda: datetime.now(UTC)
    )
    failure = FormFailure("two", Precision.INT8, Reason.GATE_FAILED, "cosine 0.5", "serve it in fp32")
    write_failure(tmp_path / f"two{FAILURE_SUFFIX}", failure)
    arguments = ["publish", "--all", str(tmp_path), "--catalog", str(workspace.catalog), "--cache"]
    parsed = parse_arguments([*arguments, str(workspace.cache)])

    with pytest.raises(ModelCacheError, match=r"no prepared form in int8 of two: cosine 0\.5") as caught:
        run_publish(Invocation(parsed, workspace.environ, io.StringIO(), io.StringIO()), events)

    assert (caught.value.reason, caught.value.remedy) == (Reason.GATE_FAILED, "serve it in fp32")
    assert len(published_below(workspace.cache)) == len(FILES) + 1
    reasons = [event["reason"] for event in cluster.events]
    assert reasons == ["PUBLISHED", "PUBLISHED", "GATE_FAILED", "GATE_FAILED"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model": "two"}', b'{"model": 1}'])
def test_an_unreadable_failure_is_a_wrong_folder(
    workspace: Workspace, form: Path, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / f"two{FAILURE_SUFFIX}").write_bytes(content)
    parsed = parse_arguments(["publish", "--all", str(tmp_path), "--cache", str(workspace.cache)])
    with pytest.raises(UsageError, match=r"two\.failure\.json"):
        run_publish(Invocation(parsed, workspace.environ, io.StringIO(), io.StringIO()))


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = OptionParser(prog="cache-warmer")
    commands = parser.add_subparsers(dest="command", parser_class=OptionParser)
    command = next(one for one in COMMANDS if one.name == "publish")
    command.add_to(commands.add_parser("publish"))
    return parser.parse_args(argv)
