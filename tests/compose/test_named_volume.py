"""compose.volume.yaml: the models in a named volume, with the default user of the images."""

from typing import Final

from qda_worker.client import Client
from tests.compose.engine import Engine, Project
from tests.compose.test_host_caches import READY_SECONDS, TARGET

FILES: Final = ("compose.volume.yaml", "compose.catalog.yaml")


def test_an_empty_volume_is_filled_and_served_by_the_images_own_user(
    project: Project, engine: Engine
) -> None:
    project.up()
    with Client(TARGET) as client:
        client.wait_ready(READY_SECONDS)
        assert client.sentiment(["Das Team hat mir sehr geholfen."])[0].label == "positive"
    assert engine.exec("qda_worker", "python", "check_global_cache.py").returncode == 0
    owners = engine.exec("qda_worker", "find", "/cache", "!", "-user", "65532")
    assert owners.stdout == ""
    assert "Read-only" in engine.exec("qda_worker", "touch", "/cache/x").stderr
