"""`cache-warmer collect` beside other projects, other clusters and unfinished warms: their files stay."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from cache_warmer.cli import _parser
from cache_warmer.commands.collect import run_collect
from cache_warmer.commands.command import Invocation
from cache_warmer.commands.reporting import utc_now
from cache_warmer.hub.retry import Retry
from cache_warmer.kubernetes.identity import cluster_identities
from cache_warmer.reference import reference_writer
from model_cache.catalog.catalog import generation
from model_cache.catalog.parse import load_catalog
from model_cache.places import resolve_places
from model_cache.references import read_references
from tests.service.warmer.fixtures import BIG, Workspace, catalog_of
from tests.support.fake_cluster import FakeCluster
from tests.support.fake_hub import Fault, FaultKind

SNAPSHOT: Final = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], revision=sys.argv[2], cache_dir=sys.argv[3], local_files_only=True))
"""


class OtherCluster(FakeCluster):
    """An API server of a cluster with its own identity, which has no Deployment of the other one."""

    def __init__(self, identity: str) -> None:
        super().__init__()
        self._identity = identity

    def uid(self, kind: str, namespace: str, name: str) -> str:
        if kind == "Deployment":
            return ""
        if kind == "Namespace":
            raise PermissionError("namespaces kube-system is forbidden")
        return f"{self._identity} {super().uid(kind, namespace, name)}"


def release(workspace: Workspace, cluster: str, name: str = "nlp/qda", models: int = 3) -> Path:
    """Record the reference of a release in a cluster as its warm does; return its file."""
    environ = {
        "QDA_KUBERNETES_NAMESPACE": "nlp",
        "QDA_KUBERNETES_DEPLOYMENT": "qda",
        "QDA_KUBERNETES_CLAIM": "claim",
    }
    places = resolve_places(str(workspace.cache), {}, Path("/nowhere"))
    writer = reference_writer(name, None, places, environ, utc_now, lambda: OtherCluster(cluster))
    catalog = load_catalog(workspace.catalog)
    writer.record(generation(catalog.models), catalog.models[:models])
    references, _ = read_references(places)
    identity = cluster_identities(environ, lambda: OtherCluster(cluster))[0]
    (path,) = (path for path, one in references.items() if one.name == name and one.cluster == identity)
    return path


def collect_in(workspace: Workspace, cluster: str, *more: str) -> dict[str, Any]:
    arguments = workspace.collect_arguments()
    parsed = _parser().parse_args([*arguments, "--keep", "0", "--quiet", *more])
    out = io.StringIO()
    invocation = Invocation(parsed, workspace.environ, out, io.StringIO())
    claim = OtherCluster(cluster).uid("PersistentVolumeClaim", "nlp", "claim")
    code = run_collect(invocation, lambda *_: False, clusters=lambda: (f"PersistentVolumeClaim:{claim}",))
    assert code == 0
    return dict(json.loads(out.getvalue()))


def smaller_catalog(workspace: Workspace) -> None:
    """Leave only the second model in the catalog."""
    catalog = catalog_of(workspace.repositories, None)
    catalog["models"] = catalog["models"][1:]
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")


def test_releases_of_the_same_name_in_two_clusters_have_a_reference_each(workspace: Workspace) -> None:
    workspace.warm(reference="team")

    files = {release(workspace, "a"), release(workspace, "b")}

    assert len(files) == 2
    assert release(workspace, "a") in files


def test_a_release_of_another_cluster_counts_as_live(workspace: Workspace) -> None:
    workspace.warm()
    theirs = release(workspace, "a")
    smaller_catalog(workspace)
    assert workspace.warm().reason == "OK"

    assert collect_in(workspace, "b", "--apply")["going"] == []
    assert theirs.exists()
    assert collect_in(workspace, "a", "--apply")["bytes"] > BIG
    assert not theirs.exists()


def test_forget_means_the_own_release_of_a_name_first(workspace: Workspace) -> None:
    workspace.warm()
    mine, theirs = release(workspace, "a"), release(workspace, "b")

    collect_in(workspace, "a", "--forget", "nlp/qda")

    assert (mine.exists(), theirs.exists()) == (False, True)
    collect_in(workspace, "a", "--forget", theirs.stem)
    assert not theirs.exists()


def test_a_reference_of_the_former_form_without_a_cluster_stays_live(workspace: Workspace) -> None:
    workspace.warm()
    document = json.loads(next((workspace.cache / ".model-cache/references").glob("*.json")).read_bytes())
    for name in ("cluster", "host", "pending"):
        document.pop(name, None)
    old = workspace.cache / ".model-cache/references/nlp_qda.json"
    old.write_text(json.dumps({**document, "name": "nlp/qda", "namespace": "nlp", "deployment": "qda"}))
    smaller_catalog(workspace)
    assert workspace.warm().reason == "OK"

    assert [one["name"] for one in collect_in(workspace, "a", "--apply")["references"] if one["live"]]
    assert old.exists()


def test_what_an_unfinished_warm_has_verified_is_spared(workspace: Workspace) -> None:
    full = workspace.catalog.read_text("utf-8")
    smaller_catalog(workspace)
    assert workspace.warm(reference="a").reason == "OK"
    mine = workspace.catalog.read_text("utf-8")
    workspace.catalog.write_text(full, "utf-8")
    workspace.hub.faults.add(Fault(FaultKind.CUT, "*/wheels/*", after=1000))
    slow = Retry(
        attempts=3, first=1.0, max_delay=1.0, max_retry_after=10.0
    )  # the other models are complete by then
    assert workspace.warm(reference="b", retry=slow).reason == "HUB_UNREACHABLE"
    assert list(workspace.cache.glob("huggingface/hub/models--org--first/snapshots/*/model.safetensors"))
    workspace.catalog.write_text(mine, "utf-8")

    assert collect_in(workspace, "here", "--apply")["going"] == []

    workspace.catalog.write_text(full, "utf-8")
    workspace.hub.faults.clear()
    outcome = workspace.warm(reference="b")
    assert (outcome.reason, outcome.document["bytes_fetched"] < BIG) == ("OK", True)


def test_two_keys_of_one_commit_are_both_listed_and_load_offline_after_a_collect(
    workspace: Workspace,
) -> None:
    first = workspace.repositories[0]
    catalog = catalog_of(workspace.repositories, None)
    one = catalog["models"][0]
    small = {
        "key": "small",
        "task": "sentiment",
        "huggingface": {**one["huggingface"], "files": ["README.md"]},
    }
    catalog["models"].append(small)
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    assert workspace.warm().reason == "OK"
    (path,) = workspace.cache.glob("huggingface/hub/models--org--first/trees/*.json")
    whole = {"config.json", "sub/deep/vocab.txt", "model.safetensors", "README.md"}
    assert set(json.loads(path.read_bytes())["files"]) == whole

    catalog["models"] = [small]
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    assert workspace.warm().reason == "OK"
    assert set(json.loads(path.read_bytes())["files"]) == whole, "another release's files are still there"
    assert collect_in(workspace, "here", "--apply")["bytes"] > BIG

    assert set(json.loads(path.read_bytes())["files"]) == {"README.md"}
    arguments = [first.id, first.commit, str(workspace.cache / "huggingface/hub")]
    done = subprocess.run(
        [sys.executable, "-c", SNAPSHOT, *arguments],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_warm_with_nothing_to_fetch_mends_a_list_that_names_what_is_not_there(workspace: Workspace) -> None:
    workspace.warm()
    (path,) = workspace.cache.glob("huggingface/hub/models--org--first/trees/*.json")
    right = path.read_bytes()
    document = json.loads(right)
    document["files"]["onnx/model.onnx"] = document["files"]["config.json"]
    path.write_text(json.dumps(document))

    assert workspace.warm().reason == "OK"

    assert path.read_bytes() == right
