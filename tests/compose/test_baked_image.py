"""BAKE_MODELS: models in the image itself, by the real warmer at build."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.compose.conftest import Hub
from tests.compose.engine import ROOT, Engine, call

BAKED: Final = "localhost/qda-cache-warmer:baked-test"
CONTEXT: Final = ("pyproject.toml", "README.md", "LICENSE", ".dockerignore", "constraints", "src", "images")
ALONE: Final = ("--read-only", "--tmpfs", "/tmp", "--network", "none")


@pytest.fixture(scope="module")
def baked(
    engine: Engine, hub: Hub, catalog_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield the warmer's image with one model, from a copy of the sources that has a catalog below catalogs/."""
    context = tmp_path_factory.mktemp("context")
    for name in CONTEXT:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, context / name)
    shutil.copytree(catalog_folder, context / "catalogs")
    # A build's RUN steps share this machine's network, as `docker build --network host` has it.
    hub_url = hub.url.replace(engine.hub_host, "127.0.0.1")
    arguments = {
        "BAKE_MODELS": "german-ner",
        "BAKE_CATALOG": "catalogs/catalog.yaml",
        "HF_ENDPOINT": hub_url,
        "QDA_WHEEL_BASE": f"{hub_url}/wheels",
    }
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    done = call(
        [*engine.builder, "-f", str(context / "images/warmer/Dockerfile"), "-t", BAKED, *words, str(context)]
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    yield BAKED
    call([*engine.engine, "rmi", BAKED])


def test_the_check_of_a_baked_model_passes_without_a_volume(engine: Engine, baked: str) -> None:
    for user in ("65532:65532", "1234567:0"):
        options = [*ALONE, "--user", user]
        done = engine.run(baked, "cache-check", "--model", "german-ner", "--format", "json", options=options)
        assert done.returncode == 0, done.stdout + done.stderr
        (model,) = json.loads(done.stdout)["models"]
        assert model["source"] == "de_demo_news_sm"  # by the catalog that it was baked with
        assert model["bytes"] > 0


def test_models_that_were_not_baked_are_missing(engine: Engine, baked: str) -> None:
    assert engine.run(baked, "cache-check", options=ALONE).returncode == 10
