"""Whatever generations there are and whichever are kept: the kept ones stay whole, the others leave nothing."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.reasons import Reason
from tests.support.generations import OLD, Shelf, everything, hub_model, needs, package, shelf

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


def filled(root: Path, generations: list[list[Model]]) -> Shelf:
    there = shelf(root)
    for number, models in enumerate(generations):
        there.publish(models, OLD + number)
    foreign = there.folder("org/x") / "snapshots" / ("f" * 40)
    there.snapshot("org/x", "f" * 40, {"b.bin": b"content of b.bin\n" * 50, "theirs.bin": b"theirs"})
    assert foreign.is_dir()
    there.snapshot("other/project", "e" * 40, {"model.bin": b"not ours"})
    return there


def demand_whole(there: Shelf, models: list[Model]) -> None:
    report = check(models, there.places, Tier.DEEP)
    assert report.reason is Reason.OK, report.problems or report.models


def demand_nothing_dangles(root: Path) -> None:
    for name, content in everything(root).items():
        assert not isinstance(content, str) or (root / name).exists(), name
    for reference in root.glob("huggingface/hub/*/refs/main"):
        assert (reference.parents[1] / "snapshots" / reference.read_text()).is_dir()


@_QUICK
@given(_GENERATIONS, st.integers(0, 3), st.data())
def test_what_is_kept_stays_whole_and_what_goes_leaves_nothing(
    generations: list[list[Model]], keep: int, data: st.DataObject
) -> None:
    present = data.draw(st.sampled_from(generations))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        there = filled(root, generations)
        foreign = {
            name: body for name, body in everything(root).items() if "f" * 40 in name or "e" * 40 in name
        }
        collecting = there.collecting(present)
        found = collecting.look(needs(present, keep))
        before = sum(
            path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()
        )

        collecting.apply(found)

        kept = [models for models in generations if needs(models).generation in found.kept.why]
        assert present in kept
        for models in kept:
            demand_whole(there, models)
        demand_nothing_dangles(root)
        after = everything(root)
        assert {name: after[name] for name in foreign} == foreign
        wanted = {(model.source_name, model.revision) for models in kept for model in models}
        for models in generations:
            for model in models:
                if (model.source_name, model.revision) not in wanted:
                    assert not any(_mark(model) in name for name in after), model
        now = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        own = root / ".model-cache"
        assert before - now >= found.bytes
        assert not list(own.rglob("collected"))
        assert there.look(present, keep).going == ()


@_QUICK
@given(_GENERATIONS, st.integers(0, 40), st.data())
def test_a_collection_that_dies_anywhere_is_ended_by_the_next(
    generations: list[list[Model]], steps: int, data: st.DataObject
) -> None:
    present = data.draw(st.sampled_from(generations))
    with tempfile.TemporaryDirectory() as folder:
        straight, torn = Path(folder) / "straight", Path(folder) / "torn"
        first = filled(straight, generations)
        collecting = first.collecting(present)
        collecting.apply(collecting.look(needs(present)))
        second = filled(torn, generations)
        dying = second.collecting(present, steps=steps)
        with contextlib.suppress(KeyboardInterrupt):
            dying.apply(dying.look(needs(present)))

        demand_whole(second, present)
        again = second.collecting(present)
        again.apply(again.look(needs(present)))

        assert everything(torn) == everything(straight)
        demand_whole(second, present)


def _mark(model: Model) -> str:
    source = model.source
    if isinstance(source, HuggingFaceSource):
        return f"models--{source.repository.replace('/', '--')}/snapshots/{source.revision}/"
    return f".packages/{source.package}-{source.version}-"


def test_the_umask_of_whoever_collects_does_not_matter(tmp_path: Path) -> None:
    first, second = [hub_model("one", "org/x", "a", ["a.json"])], [hub_model("one", "org/x", "b", ["a.json"])]
    there = filled(tmp_path, [first, second])
    former = os.umask(0o077)
    try:
        collecting = there.collecting(first)
        collecting.apply(collecting.look(needs(first)))
    finally:
        os.umask(former)

    assert (there.folder("org/x") / "refs/main").stat().st_mode & 0o777 == 0o644
