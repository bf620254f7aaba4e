"""The small models, trained once for all tests and kept between runs."""

import zipfile
from pathlib import Path

import pytest

from tests.support.small_models import SmallModels, small_models
from tests.support.small_models.recipes import SEED
from tests.support.small_models.statements import Corpus, load_corpus


@pytest.fixture(scope="session")
def models() -> SmallModels:
    return small_models()


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return load_corpus(SEED)


@pytest.fixture(scope="session")
def installed(models: SmallModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the entities model's wheel was unzipped into."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = (models.hub / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder
