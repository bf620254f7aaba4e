"""What each test has: a complete cache, a form of its model in a folder, and a publisher."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.disk.probe import write_probe
from cache_warmer.disk.volume import MeasureFreeSpace, measure_free_space
from cache_warmer.prepared.publication import Publisher
from model_cache.catalog.catalog import Catalog, Model, Precision
from tests.support.cache_trees import ENTITIES, SENTIMENT, SENTIMENT_FILES, CacheTree, build_cache
from tests.support.prepared_forms import form_of, write_form

ASKS_INT8: Final = SENTIMENT._replace(serving=SENTIMENT.serving._replace(precision=Precision.INT8))


@dataclass
class RecordedLease:
    """A lease without another claimant; it counts what happens to it.

    Attributes:
        on_check: called by each check.
        holds: how often it was acquired.
        is_held: whether it is held now.
    """

    on_check: Callable[[], None] = lambda: None
    holds: int = field(default=0)
    is_held: bool = field(default=False)

    @contextmanager
    def held(self) -> Iterator[None]:
        self.holds, self.is_held = self.holds + 1, True
        yield
        self.is_held = False

    def check(self) -> None:
        assert self.is_held
        self.on_check()


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


@pytest.fixture
def lease() -> RecordedLease:
    return RecordedLease()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a form as `qda-worker prepare` does."""
    path = tmp_path / "form"
    write_form(path, form_of(SENTIMENT, SENTIMENT_FILES))
    return path


def publisher(
    tree: CacheTree,
    lease: RecordedLease,
    model: Model = ASKS_INT8,
    free_space: MeasureFreeSpace = measure_free_space,
) -> Publisher:
    catalog = Catalog((model, ENTITIES), "catalog.yaml")
    return Publisher(catalog, None, tree.places, lease, write_probe, free_space)
