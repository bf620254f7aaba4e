"""`serve` with the global caches of this user: missing models are fetched once, or the command is named."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving
from tests.service.worker.test_fetch import write_catalog
from tests.support.fake_hub import FakeHub, Fault, FaultKind, Repository


@pytest.fixture
def hub(cache_fixture: CacheFixture) -> Iterator[FakeHub]:
    with FakeHub([repository_of(cache_fixture)], []) as fake_hub:
        yield fake_hub


def repository_of(cache_fixture: CacheFixture) -> Repository:
    folder = cache_fixture.path("tiny-sentiment")
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return Repository("qda-test/sentiment", files)


@pytest.fixture
def catalog(cache_fixture: CacheFixture, tmp_path: Path) -> Path:
    write_catalog(tmp_path / "my catalog.yaml", repository_of(cache_fixture))
    return tmp_path / "my catalog.yaml"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"  # tests/conftest.py creates it, empty


def sent_bodies(hub: FakeHub) -> list[str]:
    """Return the path of each file body that was sent, as often as it was."""
    sent = [one.path for one in hub.log.requests("*", method="GET") if one.status == 200 and one.bytes_sent]
    return sorted(path for path in sent if "/resolve/" in path or path.startswith("/lfs/"))


def remedy_of(worker: ServeProcess) -> list[str]:
    """Return the command in the remedy of the error, the last line of the log but one, split as a shell splits it."""
    command = worker.log.strip().splitlines()[-2].split("Remedy: run `")[1].partition("`")[0]
    return shlex.split(command)


def test_an_empty_home_is_filled_once_and_with_progress(
    hub: FakeHub, catalog: Path, home: Path, tmp_path: Path
) -> None:
    options = ["--catalog", str(catalog), "--fetch", "--hub", hub.url]
    with serving(tmp_path, *options, HOME=str(home)) as worker:
        worker.wait_until_ready()
        assert "verified" in worker.log, "the output of the warmer reaches the user"
        assert worker.log.index("cache.fetching") < worker.log.index("server.ready")
    assert list(home.glob(".cache/huggingface/hub/models--qda-test--sentiment/snapshots/*/config.json"))
    hub.log.clear()
    with serving(tmp_path, *options, HOME=str(home)) as again:
        again.wait_for_event("model.loading")  # from the same files as above
    assert hub.log.requests() == ()


def test_two_workers_that_start_at_once_fetch_each_file_once(
    hub: FakeHub, catalog: Path, home: Path, tmp_path: Path
) -> None:
    hub.faults.add(Fault(FaultKind.SLOW, "model.safetensors", bytes_per_second=100_000))
    options = ["--catalog", str(catalog), "--fetch", "--hub", hub.url]
    with (
        serving(tmp_path, *options, HOME=str(home)) as one,
        serving(tmp_path, *options, HOME=str(home)) as two,
    ):
        one.wait_for_event("model.loading")
        two.wait_for_event("model.loading")
        assert one.events("cache.fetching")
        assert two.events("cache.fetching")
    assert sent_bodies(hub)
    assert len(sent_bodies(hub)) == len(set(sent_bodies(hub)))


def test_with_no_fetch_it_ends_and_names_missing_models_and_command(
    hub: FakeHub, catalog: Path, home: Path, tmp_path: Path
) -> None:
    options = ["--catalog", str(catalog), "--no-fetch", "--hub", hub.url, "--model", "fetched"]
    with serving(tmp_path, *options, HOME=str(home)) as worker:
        assert worker.wait() == 10
        assert "CACHE_INCOMPLETE: incomplete models: fetched: " in worker.log
        assert "models--qda-test--sentiment" in worker.log
        assert remedy_of(worker) == [
            "cache-warmer", "warm", "--catalog", str(catalog), "--model", "fetched", "--hub", hub.url,
        ]  # fmt: skip
    assert hub.log.requests() == ()
    assert list(home.iterdir()) == [], "nothing was written"


def test_offline_nothing_is_fetched_and_the_command_unsets_offline(
    hub: FakeHub, catalog: Path, home: Path, tmp_path: Path
) -> None:
    environ = {"HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": hub.url}
    with serving(tmp_path, "--catalog", str(catalog), **environ) as worker:
        assert worker.wait() == 10
        assert not worker.events("cache.fetching")
        assert remedy_of(worker) == [
            "env", "-u", "HF_HUB_OFFLINE", "cache-warmer", "warm", "--catalog", str(catalog),
        ]  # fmt: skip
    assert hub.log.requests() == ()


def test_a_removed_model_is_fetched_at_the_next_start(
    hub: FakeHub, catalog: Path, home: Path, tmp_path: Path
) -> None:
    options = ["--catalog", str(catalog), "--fetch", "--hub", hub.url]
    with serving(tmp_path, *options, HOME=str(home)) as worker:
        worker.wait_for_event("model.loading")
    shutil.rmtree(home / ".cache/huggingface/hub/models--qda-test--sentiment")
    with serving(tmp_path, *options, HOME=str(home)) as again:
        again.wait_until_ready()
        assert again.events("cache.fetching")
