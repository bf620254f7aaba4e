"""Images that `make images` built, a hub for containers, and a user's home with empty caches."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.compose.engine import Engine, Project, engine_of
from tests.support.fake_hub import FakeHub, repositories_below
from tests.support.small_models import SmallModels, small_models

UID: Final = 12345
GID: Final = UID  # an id that exists neither on this machine nor in the images
HOST_FOLDERS: Final = (".cache/huggingface", ".cache/torch", ".cache/qda-worker", ".local/share/spacy")


# Notes what was measured, for the end of pytest's output.
Figure = Callable[[str, float], None]

_figures = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config) -> Figure:
    return pytestconfig.stash.setdefault(_figures, {}).__setitem__


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, value in sorted(config.stash.get(_figures, {}).items()):
        terminalreporter.write_line(f"measured: {value:g} {name}")


@dataclass(frozen=True, slots=True)
class Hub:
    """The fake hub, and its address as seen from containers."""

    fake_hub: FakeHub
    url: str

    def variables(self) -> dict[str, str]:
        return {"HF_ENDPOINT": self.url, "QDA_WHEEL_BASE": f"{self.url}/wheels"}


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Return the engine, or skip the test with the reason."""
    try:
        return engine_of(os.environ)
    except KeyError as missing:
        pytest.fail(f"{missing} is not set: run `make test-compose`, after `make images`")


@pytest.fixture(scope="session")
def models() -> SmallModels:
    return small_models()


@pytest.fixture(scope="session")
def hub(models: SmallModels, engine: Engine) -> Iterator[Hub]:
    wheels = sorted(models.hub.glob("wheels/*.whl"))
    repositories = list(repositories_below(models.hub))
    with FakeHub(repositories, wheels, listen="0.0.0.0:0", storage_listen="0.0.0.0:0") as fake_hub:
        yield Hub(fake_hub, f"http://{engine.hub_host}:{fake_hub.url.rpartition(':')[2].rstrip('/')}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new home of a user that is not root, with the four empty folders of the documentation."""
    home = tmp_path_factory.mktemp("home")
    for name in HOST_FOLDERS:
        (home / name).mkdir(parents=True)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755)
        os.chown(path, UID, GID)
    for parent in home.parents:  # pytest keeps its folders to itself; a container's user has to pass
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    return home


@pytest.fixture(scope="module")
def catalog_folder(models: SmallModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the catalog and its lock, without the models."""
    folder = tmp_path_factory.mktemp("catalogs")
    for file in (models.catalog, models.catalog.with_name("catalog.lock.json")):
        (folder / file.name).write_bytes(file.read_bytes())
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def variables(engine: Engine, hub: Hub, home: Path, catalog_folder: Path) -> dict[str, str]:
    """Return the environment variables for `compose up`."""
    return {
        "HOME": str(home),
        "QDA_UID": str(UID),
        "QDA_GID": str(GID),
        "QDA_WORKER_IMAGE": engine.worker_image,
        "QDA_WARMER_IMAGE": engine.warmer_image,
        "QDA_CATALOG_FOLDER": str(catalog_folder),
        "EXAMPLE_MODEL": "qda-demo/german-sentiment-bert",
        "EXAMPLE_PACKAGE": "de_demo_news_sm",
        **hub.variables(),
    }


@pytest.fixture(scope="module")
def project(engine: Engine, variables: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Project]:
    """Yield the module's compose project (`FILES`), removed at the end with its volumes."""
    project = Project(engine, request.module.FILES, variables)
    project.down("--volumes")  # what an interrupted run left
    yield project
    project.down("--volumes")
