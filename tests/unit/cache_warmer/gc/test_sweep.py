"""Property: after a sweep every retained generation is whole and the others leave nothing, even if it was killed."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.reasons import Reason
from tests.support.generations import (
    OLD,
    FilledCache,
    cache_at,
    files_below,
    hub_model,
    package,
    rules_for,
    write_old_file,
)
from tests.unit.cache_warmer.gc.conftest import NEWER, collect, snapshot

_FILES: Final = st.lists(
    st.sampled_from(["a.json", "b.bin", "sub/c.txt", "d.bin"]), min_size=1, max_size=3, unique=True
)
_HUB: Final = st.builds(
    hub_model,
    st.sampled_from(["one", "two", "three"]),
    st.sampled_from(["org/x", "org/y"]),
    st.sampled_from("abc"),
    _FILES.map(sorted),
)
_PACKAGES: Final = st.builds(
    package, st.just("names"), st.sampled_from(["de_a", "de_b"]), st.sampled_from(["1.0", "2.0", "3.0"])
)
_GENERATIONS: Final = st.lists(
    st.lists(_HUB | _PACKAGES, min_size=1, max_size=4, unique_by=lambda model: model.key),
    min_size=1,
    max_size=5,
)
_QUICK: Final = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def filled(root: Path, generations: list[list[Model]]) -> FilledCache:
    cache = cache_at(root)
    for number, models in enumerate(generations):
        cache.publish(models, OLD + number)
    foreign = cache.folder("org/x") / "snapshots" / ("f" * 40)
    cache.snapshot("org/x", "f" * 40, {"b.bin": b"content of b.bin\n" * 50, "theirs.bin": b"theirs"})
    assert foreign.is_dir()
    cache.snapshot("other/project", "e" * 40, {"model.bin": b"not ours"})
    return cache


def assert_whole(cache: FilledCache, models: list[Model]) -> None:
    report = check(models, cache.places, Tier.DEEP)
    assert report.reason is Reason.OK, report.problems or report.models


def assert_nothing_dangles(root: Path) -> None:
    for name, content in files_below(root).items():
        assert not isinstance(content, str) or (root / name).exists(), name
    for reference in root.glob("huggingface/hub/*/refs/main"):
        assert (reference.parents[1] / "snapshots" / reference.read_text()).is_dir()


@_QUICK
@given(_GENERATIONS, st.integers(0, 3), st.data())
def test_retained_generations_stay_whole_and_the_others_leave_nothing(
    generations: list[list[Model]], keep: int, data: st.DataObject
) -> None:
    present = data.draw(st.sampled_from(generations))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cache = filled(root, generations)
        foreign = {
            name: body for name, body in files_below(root).items() if "f" * 40 in name or "e" * 40 in name
        }
        collector = cache.collector(present)
        plan = collector.scan(rules_for(present, keep))
        before = sum(
            path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()
        )

        collector.apply(plan)

        retained = [
            models for models in generations if rules_for(models).generation in plan.retention.retained
        ]
        assert present in retained
        for models in retained:
            assert_whole(cache, models)
        assert_nothing_dangles(root)
        after = files_below(root)
        assert {name: after[name] for name in foreign} == foreign
        needed = {(model.source_name, model.revision) for models in retained for model in models}
        for models in generations:
            for model in models:
                if (model.source_name, model.revision) not in needed:
                    assert not any(_mark(model) in name for name in after), model
        now = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        own = root / ".model-cache"
        assert before - now >= plan.freed_bytes
        assert not list(own.rglob("collected"))
        assert cache.scan(present, keep).deletions == ()


@_QUICK
@given(_GENERATIONS, st.integers(0, 40), st.data())
def test_a_sweep_that_is_killed_anywhere_is_finished_by_the_next(
    generations: list[list[Model]], deletions: int, data: st.DataObject
) -> None:
    present = data.draw(st.sampled_from(generations))
    with tempfile.TemporaryDirectory() as folder:
        complete, resumed = Path(folder) / "complete", Path(folder) / "resumed"
        first = filled(complete, generations)
        collector = first.collector(present)
        collector.apply(collector.scan(rules_for(present)))
        second = filled(resumed, generations)
        killed = second.collector(present, deletions=deletions)
        with contextlib.suppress(KeyboardInterrupt):
            killed.apply(killed.scan(rules_for(present)))

        assert_whole(second, present)
        collector = second.collector(present)
        collector.apply(collector.scan(rules_for(present)))

        assert files_below(resumed) == files_below(complete)
        assert_whole(second, present)


def _mark(model: Model) -> str:
    source = model.source
    if isinstance(source, HuggingFaceSource):
        return f"models--{source.repository.replace('/', '--')}/snapshots/{source.revision}/"
    return f".packages/{source.package}-{source.version}-"


def test_the_umask_of_the_process_does_not_matter(tmp_path: Path) -> None:
    first, second = [hub_model("one", "org/x", "a", ["a.json"])], [hub_model("one", "org/x", "b", ["a.json"])]
    cache = filled(tmp_path, [first, second])
    former = os.umask(0o077)
    try:
        collector = cache.collector(first)
        collector.apply(collector.scan(rules_for(first)))
    finally:
        os.umask(former)

    assert (cache.folder("org/x") / "refs/main").stat().st_mode & 0o777 == 0o644


def test_a_partial_file_that_a_live_process_has_locked_stays(cache: FilledCache) -> None:
    fcntl = pytest.importorskip("fcntl")
    partial = write_old_file(cache.folder("org/x") / "blobs" / f"{'1' * 64}.incomplete")

    with partial.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        collect(cache)

    assert partial.exists()


def test_a_sweep_that_lost_its_lease_deletes_nothing_more(cache: FilledCache) -> None:
    collector = cache.collector(NEWER, deletions=0)

    with pytest.raises(KeyboardInterrupt):
        collector.apply(collector.scan(rules_for(NEWER)))

    assert snapshot(cache, "a").is_dir()
