"""The token that a pod is configured with: a Secret without it is named, with the command that creates it."""

import io
from pathlib import Path

import pytest

from cache_warmer.cli import cache_warmer
from cache_warmer.errors import HubUnauthorized
from cache_warmer.kubernetes.pod import require_token
from model_cache.reasons import Reason


@pytest.mark.parametrize("token", ["", "  ", None])
def test_a_secret_without_the_token_is_named_with_a_remedy(token: str | None) -> None:
    environ = {"QDA_TOKEN_SECRET": "hub/token", "QDA_KUBERNETES_NAMESPACE": "texts"}
    if token is not None:
        environ["HF_TOKEN"] = token
    with pytest.raises(HubUnauthorized) as caught:
        require_token(environ)

    assert "'hub'" in caught.value.message
    assert "'token'" in caught.value.message
    assert "kubectl -n texts create secret generic hub --from-literal=token=TOKEN" in caught.value.remedy


def test_a_secret_with_a_token_and_no_secret_are_accepted() -> None:
    require_token({"QDA_TOKEN_SECRET": "hub/token", "HF_TOKEN": "hf_x"})
    require_token({})


def test_a_missing_token_ends_a_warm_before_any_request_to_the_hub(tmp_path: Path) -> None:
    err = io.StringIO()
    environ = {"QDA_TOKEN_SECRET": "hub/token", "HF_ENDPOINT": "http://hub.invalid"}
    code = cache_warmer(["warm", "--cache", str(tmp_path / "cache")], environ, io.StringIO(), err)

    assert code == Reason.HUB_UNAUTHORIZED.exit_code
    assert "hub.tokenSecret" in err.getvalue()
    assert not (tmp_path / "cache").exists()
