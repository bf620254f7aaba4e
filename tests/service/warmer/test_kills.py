"""SIGKILL at random times of a warm with a file in ranges: one of two generations is always complete.

The fault tier (`make test-faults`) repeats this more often and with more faults.
"""

import random
import time
from pathlib import Path
from typing import Final

import yaml

from model_cache.catalog.catalog import Model
from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.fixtures import Workspace, catalog_of, write_files
from tests.service.warmer.test_ranges import BIG, WEIGHTS
from tests.service.warmer.test_resume import start
from tests.support.fake_hub import Fault, FaultKind, Repository

KILLS: Final = 6


def is_complete(models: tuple[Model, ...], workspace: Workspace, tier: Tier = Tier.DEEP) -> bool:
    return check(models, resolve_places(str(workspace.cache), {}, Path("/nowhere")), tier).reason is Reason.OK


def test_a_killed_warm_leaves_a_complete_generation_and_resumes(workspace: Workspace) -> None:
    assert workspace.warm().reason == "OK"
    former_models = load_catalog(workspace.catalog).models
    block = random.Random(5).randbytes(1 << 16)
    files = {
        "config.json": b'{"a": 2}',
        "sub/deep/vocab.txt": b"drei\n",
        WEIGHTS: block * (BIG // len(block)),
    }
    newer = Repository("org/first", write_files(workspace.folder / "newer", files))
    workspace.hub.add(newer)
    catalog = catalog_of([newer, workspace.repositories[1]], workspace.newer_wheel, "1.1.0")
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    newer_models = load_catalog(workspace.catalog).models
    workspace.hub.log.clear()
    workspace.hub.faults.add(Fault(FaultKind.SLOW, WEIGHTS, bytes_per_second=5_000_000, host="storage"))
    seed = time.time_ns() % 100_000
    random_times = random.Random(seed)

    for _ in range(KILLS):
        child = start(workspace, "--quiet")
        time.sleep(random_times.uniform(0.3, 2.0))
        child.kill()
        child.communicate()
        manifests = sorted((workspace.cache / ".model-cache/manifests").glob("*.json"))
        assert is_complete(former_models, workspace), f"seed {seed}"
        assert len(manifests) == 1 or is_complete(newer_models, workspace), f"seed {seed}"

    workspace.hub.faults.clear()
    assert workspace.warm().reason == "OK"
    assert is_complete(newer_models, workspace)
    assert is_complete(former_models, workspace)
    assert not list(workspace.cache.rglob("*.incomplete"))
    lost = workspace.hub.log.bytes_sent(f"/lfs/*{WEIGHTS}") - newer.files[WEIGHTS].size
    assert lost <= KILLS * 8 * (1 << 20), "each kill costs a little of each range"
