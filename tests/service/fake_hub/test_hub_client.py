"""The unmodified `huggingface_hub` client works with the fake hub."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder

from tests.service.fake_hub.conftest import CONFIG, WEIGHTS
from tests.support.fake_hub import FakeHub, Fault, FaultKind, LfsRule, Repository

SHA256: Final = hashlib.sha256(WEIGHTS).hexdigest()


def test_a_snapshot_by_commit_has_exactly_the_files_asked_for(
    hub: FakeHub, repository: Repository, tmp_path: Path
) -> None:
    folder = Path(
        snapshot_download(
            repository.id,
            revision=repository.commit,
            endpoint=hub.url,
            cache_dir=tmp_path / "cache",
            allow_patterns=["config.json", "*.safetensors", "1_Pooling/*"],
        )
    )
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"config.json", "model.safetensors", "1_Pooling/config.json"}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (folder / "model.safetensors").resolve().name == SHA256
    assert not hub.log.requests("*onnx/model.onnx")


def test_a_snapshot_by_branch_finds_the_commit_behind_it(
    hub: FakeHub, repository: Repository, tmp_path: Path
) -> None:
    folder = Path(snapshot_download(repository.id, endpoint=hub.url, cache_dir=tmp_path / "cache"))
    assert folder.name == repository.commit
    assert (folder.parent.parent / "refs" / "main").read_text() == repository.commit


def test_a_branch_moves_to_the_revision_that_is_added_last(
    hub: FakeHub, repository: Repository, files: dict[str, Path]
) -> None:
    newer = Repository(repository.id, {"config.json": files["config.json"]}, branches=("main", "refs/pr/1"))
    hub.add(newer)
    api = HfApi(endpoint=hub.url)
    assert newer.commit != repository.commit
    assert api.model_info(repository.id).sha == newer.commit
    assert api.model_info(repository.id, revision="refs/pr/1").sha == newer.commit
    assert api.model_info(repository.id, revision=repository.commit).sha == repository.commit


def test_model_info_states_sizes_and_hashes(hub: FakeHub, repository: Repository) -> None:
    info = HfApi(endpoint=hub.url).model_info(repository.id, files_metadata=True)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    assert set(siblings) == set(repository.files)
    assert siblings["config.json"].size == len(CONFIG)
    assert siblings["config.json"].blob_id == _git_sha1(CONFIG)
    assert siblings["config.json"].lfs is None
    weights = siblings["model.safetensors"]
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize {len(WEIGHTS)}\n".encode()
    )
    assert weights.lfs is not None
    assert (weights.lfs.sha256, weights.lfs.size, weights.lfs.pointer_size) == (
        SHA256,
        len(WEIGHTS),
        len(pointer),
    )
    assert weights.blob_id == _git_sha1(pointer)


def test_a_tree_comes_in_pages_and_whole(repository: Repository) -> None:
    with FakeHub([repository], page_size=2, prefix="/mirror") as hub:
        entries = list(HfApi(endpoint=hub.url).list_repo_tree(repository.id, recursive=True))
        huggingface_hub.close_session()
        assert [entry.path for entry in entries] == sorted([*repository.files, "1_Pooling", "onnx"])
        pages = hub.log.requests("/mirror/api/models/*/tree/*")
        assert [page.query.partition("cursor=")[2] for page in pages] == ["", "2", "4", "6"]


def test_a_tree_without_recursion_is_one_folder(hub: FakeHub, repository: Repository) -> None:
    api = HfApi(endpoint=hub.url)
    top = list(api.list_repo_tree(repository.id))
    assert [entry.path for entry in top if isinstance(entry, RepoFolder)] == ["1_Pooling", "onnx"]
    assert [entry.path for entry in api.list_repo_tree(repository.id, "1_Pooling")] == [
        "1_Pooling/config.json"
    ]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(repository.id, "nowhere"))


def test_a_tree_url_may_end_with_a_slash_as_mirrors_request_it(hub: FakeHub, repository: Repository) -> None:
    for folder in ("", "/1_Pooling"):
        address = f"{hub.url}/api/models/{repository.id}/tree/main{folder}"
        assert httpx2.get(f"{address}/").json() == httpx2.get(address).json() != []


def test_paths_info_is_of_those_that_exist(hub: FakeHub, repository: Repository) -> None:
    found = HfApi(endpoint=hub.url).get_paths_info(repository.id, ["model.safetensors", "onnx", "none.txt"])
    weights, folder = found
    assert isinstance(weights, RepoFile)
    assert weights.lfs is not None
    assert weights.lfs.sha256 == SHA256
    assert isinstance(folder, RepoFolder)


def test_metadata_of_a_large_file_points_to_the_other_host(hub: FakeHub, repository: Repository) -> None:
    url = hf_hub_url(repository.id, "model.safetensors", endpoint=hub.url)
    metadata = get_hf_file_metadata(url)
    assert metadata.commit_hash == repository.commit
    assert (metadata.etag, metadata.size) == (SHA256, len(WEIGHTS))
    assert metadata.location.startswith(hub.storage_url)
    assert metadata.xet_file_data is None


@pytest.mark.parametrize("storage_host", [None, "localhost"], ids=["other port", "other name"])
def test_the_token_goes_to_the_hub_and_not_to_the_other_host(
    repository: Repository, tmp_path: Path, storage_host: str | None
) -> None:
    with FakeHub([repository], storage_host=storage_host) as hub:
        snapshot_download(repository.id, endpoint=hub.url, cache_dir=tmp_path / "cache", token="hf_secret")
        huggingface_hub.close_session()
        assert all(request.authorized for request in hub.log.requests(host="hub"))
        stored = hub.log.requests(host="storage")
        assert {request.path.rpartition("/")[2] for request in stored} == {"model.safetensors", "model.onnx"}
        assert not any(request.authorized for request in stored)


def test_without_a_second_host_large_files_come_from_the_hub(repository: Repository, tmp_path: Path) -> None:
    with FakeHub([repository], storage_listen=None) as hub:
        path = hf_hub_download(
            repository.id, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path / "cache"
        )
        huggingface_hub.close_session()
        assert Path(path).resolve().name == SHA256
        assert {request.host for request in hub.log.requests()} == {"hub"}


def test_the_rule_for_large_files_is_the_repositorys(files: dict[str, Path], tmp_path: Path) -> None:
    plain = Repository("qda/plain", files, lfs=LfsRule(suffixes=(), larger_than=2 * len(WEIGHTS)))
    with FakeHub([plain]) as hub:
        path = hf_hub_download(plain.id, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path / "cache")
        huggingface_hub.close_session()
        assert Path(path).resolve().name == _git_sha1(WEIGHTS)
        assert not hub.log.requests(host="storage")


def test_a_missing_object_gets_the_error_code_of_the_hub(
    hub: FakeHub, repository: Repository, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    api = HfApi(endpoint=hub.url)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("qda/none")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repository.id, revision="none")
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download(repository.id, "none.json", endpoint=hub.url, cache_dir=cache)
    assert (cache / "models--qda--small" / ".no_exist" / repository.commit / "none.json").exists()


def test_a_gated_repository_requires_its_token(files: dict[str, Path], tmp_path: Path) -> None:
    gated = Repository("qda/gated", files, token="hf_right")
    with FakeHub([gated]) as hub:
        for token, status in ((False, 401), ("hf_wrong", 403)):
            with pytest.raises(GatedRepoError) as refused:
                HfApi(endpoint=hub.url, token=token).model_info(gated.id)
            assert refused.value.response.status_code == status
        path = hf_hub_download(
            gated.id, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path / "cache", token="hf_right"
        )
        huggingface_hub.close_session()
        assert Path(path).read_bytes() == WEIGHTS


def test_fetched_files_are_found_without_a_hub(repository: Repository, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with FakeHub([repository]) as hub:
        fetched = snapshot_download(repository.id, endpoint=hub.url, cache_dir=cache)
        huggingface_hub.close_session()
    assert (
        snapshot_download(repository.id, endpoint=hub_is_gone(), cache_dir=cache, local_files_only=True)
        == fetched
    )
    with pytest.raises(LocalEntryNotFoundError):
        snapshot_download("qda/other", endpoint=hub_is_gone(), cache_dir=cache, local_files_only=True)


def test_the_client_resumes_a_download_that_was_cut(tmp_path: Path) -> None:
    """It writes pieces of 10 MiB and resumes behind the last whole one: the incomplete piece is fetched again."""
    large = tmp_path / "large.bin"
    large.write_bytes(WEIGHTS * 12)
    with FakeHub([Repository("qda/large", {"large.bin": large})]) as hub:
        hub.faults.add(Fault(FaultKind.CUT, path="large.bin", after=11 << 20, times=1))
        path = hf_hub_download("qda/large", "large.bin", endpoint=hub.url, cache_dir=tmp_path / "cache")
        huggingface_hub.close_session()
        assert Path(path).read_bytes() == large.read_bytes()
        requests = hub.log.requests("/lfs/*", method="GET")
        assert [request.range for request in requests] == [None, f"bytes={10 << 20}-"]
        assert [request.bytes_sent for request in requests] == [11 << 20, 2 << 20]


def test_the_client_does_not_resume_after_a_reset(
    hub: FakeHub, repository: Repository, tmp_path: Path
) -> None:
    """Unlike a cut: `http_get` of huggingface_hub 2.4 lets httpx2.ReadError through. Resuming needs code of our own."""
    hub.faults.add(Fault(FaultKind.RESET, path="model.safetensors", after=300_000, times=1))
    with pytest.raises(httpx2.ReadError):
        hf_hub_download(repository.id, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path / "cache")
    (request,) = hub.log.requests("/lfs/*", method="GET")
    assert (request.fault, request.bytes_sent) == ("reset", 300_000)


def test_the_client_accepts_wrong_bytes_of_the_right_length(
    hub: FakeHub, repository: Repository, tmp_path: Path
) -> None:
    """It compares sizes only; the warmer therefore hashes what arrives."""
    hub.faults.add(Fault(FaultKind.WRONG_BYTES, path="model.safetensors", after=700))
    path = Path(
        hf_hub_download(repository.id, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path / "cache")
    )
    assert path.resolve().name == SHA256
    assert hashlib.sha256(path.read_bytes()).hexdigest() != SHA256


def test_transformers_loads_from_it_and_then_without_a_request(
    hub: FakeHub, repository: Repository, tmp_path: Path
) -> None:
    program = """
import sys, urllib.request
from transformers import AutoConfig, AutoTokenizer
hub, name = sys.argv[1:]
for local in (False, True):
    assert AutoConfig.from_pretrained(name, local_files_only=local).hidden_size == 8
    print(AutoTokenizer.from_pretrained(name, local_files_only=local)("gut")["input_ids"])
    if not local:
        urllib.request.urlopen(urllib.request.Request(hub + "/__log__", method="DELETE")).close()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, hub.url, repository.id],
        env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n") == ["[2, 5, 3]", "[2, 5, 3]", ""]
    assert hub.log.requests() == ()
    assert list((tmp_path / "hf" / "hub").glob("models--qda--small/snapshots/*/config.json"))


def hub_is_gone() -> str:
    return "http://127.0.0.1:9"


def _git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()
