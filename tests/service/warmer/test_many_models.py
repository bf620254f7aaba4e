"""A catalog of hundreds of models: a bounded number of open files, connections and requests."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import yaml

from tests.service.warmer.fixtures import Workspace, write_files
from tests.support.fake_hub import Repository

MODELS: Final = 200


def test_two_hundred_models_need_few_open_files_and_one_query_each(workspace: Workspace) -> None:
    models = []
    for number in range(MODELS):
        files = {"model.safetensors": b"%d" % number * 100}
        repository = Repository(
            f"many/model-{number}", write_files(workspace.folder / f"many/{number}", files)
        )
        workspace.hub.add(repository)
        source = {"repository": repository.id, "revision": repository.commit, "files": list(files)}
        models.append({"key": f"model-{number}", "task": "embedding", "huggingface": source})
    catalog = {"apiVersion": "qda/v1", "kind": "Catalog", "models": models}
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    # A shell sets the limit: code between fork and exec may crash if other tests have loaded gRPC in this process.
    limited = ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"]
    command = [*limited, sys.executable, "-m", "cache_warmer", *workspace.arguments("warm", "--quiet")]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}

    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert len(workspace.hub.log.requests("/api/models/*")) == MODELS
    assert len(workspace.hub.log.requests("*/resolve/*")) == MODELS
    workspace.hub.log.clear()
    assert workspace.warm().document["bytes_fetched"] == 0
    assert workspace.hub.log.requests() == ()
