"""What people and programs read: progress, the report, the variables, addresses without secrets."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cache_warmer.commands.env import EnvFormat, variables, written
from cache_warmer.errors import HubBusy
from cache_warmer.hub.urls import join_file_name, redacted
from cache_warmer.reports.progress import Counter, ProgressSnapshot, bar, duration, line
from cache_warmer.reports.warm_report import WarmedModel, WarmReport, termination_message, to_json
from model_cache.places import resolve_places
from model_cache.reasons import Reason


def test_a_line_has_bytes_speed_rest_and_the_current_file() -> None:
    moment = ProgressSnapshot(
        1_200_000_000, 3_000_000_000, 3, 17, 12_000_000.0, "org/name: model.safetensors"
    )

    assert line(moment) == (
        "40 % 1.2 GB of 3.0 GB, 12.0 MB/s, 2 min 30 s left, 3 of 17 files, now: org/name: model.safetensors"
    )


def test_without_a_speed_no_time_is_promised() -> None:
    assert line(ProgressSnapshot(0, 10, 0, 1, None, "")) == "0 % 0 B of 10 B, 0 of 1 files"


@given(some.integers(0, 10**13), some.integers(0, 10**13), some.integers(1, 400))
def test_a_bar_fits_its_terminal(done: int, total: int, columns: int) -> None:
    assert len(bar(ProgressSnapshot(done, total, 0, 1, 5.0, "file"), columns)) <= max(1, columns - 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599.6, "1 h 0 min"), (5000, "1 h 23 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_speed_is_that_of_the_last_seconds() -> None:
    now = [0.0]
    counter = Counter(lambda: now[0])
    counter.expect(1000, 2)
    moment = counter.moment()
    for second in range(1, 41):
        now[0] = float(second)
        counter.add(100 if second <= 20 else 10)
        moment = counter.moment()

    assert moment.speed == pytest.approx(10.0)
    assert (moment.done, moment.total, moment.files_total) == (2200, 1000, 2)


def test_files_that_are_worked_at_are_named_and_counted_when_done() -> None:
    counter = Counter(lambda: 0.0)
    with counter.working_at("a"), counter.working_at("b"):
        assert counter.moment().current == "a (and 1 more)"
    assert counter.moment().current == ""
    assert counter.moment().files_done == 2


def test_bytes_of_an_earlier_run_are_done_and_no_part_of_the_speed() -> None:
    now = [0.0]
    counter = Counter(lambda: now[0])
    counter.expect(1000, 1)
    counter.moment()

    counter.resume(600)
    now[0] = 2.0
    counter.add(100)

    assert (counter.moment().done, counter.moment().speed) == (700, 50.0)


def report(models: int, words: str) -> WarmReport:
    states = tuple(
        WarmedModel(f"model-{number}", Reason.OK if number % 2 else Reason.HUB_BUSY)
        for number in range(models)
    )
    return WarmReport(Reason.HUB_BUSY, "f" * 64, 1.5, states, HubBusy(words, words))


@given(some.integers(0, 300), some.text(max_size=6000))
def test_a_termination_message_is_always_json_below_its_limit(models: int, words: str) -> None:
    message = termination_message(report(models, words))

    assert len(message) < 4096
    assert json.loads(message)["reason"] == "HUB_BUSY"


def test_models_that_are_well_are_left_out_first() -> None:
    document = json.loads(termination_message(report(50, "short")))

    assert document["models_left_out"] is True
    assert {model["reason"] for model in document["models"]} == {"HUB_BUSY"}
    assert document["message"] == "short"


def test_a_short_report_is_whole() -> None:
    whole = report(3, "short")

    assert json.loads(termination_message(whole)) == to_json(whole)


def test_a_cache_of_ours_is_named_whole_and_offline(tmp_path: Path) -> None:
    named = variables(resolve_places(str(tmp_path), {}, tmp_path))

    hub = str(tmp_path / "huggingface/hub")
    assert named == {
        "HF_HUB_CACHE": hub,
        "HUGGINGFACE_HUB_CACHE": hub,
        "TRANSFORMERS_CACHE": hub,
        "TORCH_HOME": str(tmp_path / "torch"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(tmp_path / "spacy"),
    }


def test_on_a_host_only_what_differs_is_named(tmp_path: Path) -> None:
    plain = variables(resolve_places("host", {}, tmp_path))
    moved = variables(resolve_places("host", {"HF_HOME": "/data/hf"}, tmp_path))

    assert plain == {"PYTHONPATH": str(tmp_path / ".local/share/spacy")}
    assert moved == {"HF_HUB_CACHE": "/data/hf/hub", **plain}


def test_a_shell_reads_what_was_written(tmp_path: Path) -> None:
    strange = tmp_path / "it's a $HOME folder"
    text = written(variables(resolve_places(str(strange), {}, tmp_path)), EnvFormat.SHELL)
    script = f'{text}\nprintf \'%s|%s\' "$HF_HUB_CACHE" "$PYTHONPATH"'

    said = subprocess.run(
        ["sh", "-c", script], env={"PYTHONPATH": "/mine"}, capture_output=True, text=True, check=True
    )

    assert (
        said.stdout
        == f"{variables(resolve_places(str(strange), {}, tmp_path))['HF_HUB_CACHE']}|{strange}/spacy:/mine"
    )


def test_compose_and_json_read_what_was_written(tmp_path: Path) -> None:
    import yaml

    named = variables(resolve_places(str(tmp_path / "a b"), {}, tmp_path))

    assert yaml.safe_load(written(named, EnvFormat.COMPOSE)) == {"environment": named}
    assert json.loads(written(named, EnvFormat.JSON)) == named
    assert f"PYTHONPATH='{tmp_path}/a b/spacy'" in written(named, EnvFormat.DOTENV)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://user:secret@host:8443/a/b?X-Signature=secret#x", "https://host:8443/a/b"),
        ("http://host/a", "http://host/a"),
        ("http://[::1", "(an address that cannot be read)"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, safe: str) -> None:
    assert redacted(url) == safe


def test_a_wheel_lies_beside_its_base() -> None:
    assert join_file_name("https://host/wheels/?sig=1", "a+b.whl") == "https://host/wheels/a%2Bb.whl?sig=1"
