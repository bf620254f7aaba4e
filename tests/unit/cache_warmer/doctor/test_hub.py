"""Settings of the connection, which are checked without a request; the service test asks a hub."""

from pathlib import Path

import pytest

from cache_warmer.doctor.diagnosis import Severity
from cache_warmer.doctor.hub import check_hub, check_settings, token_file
from model_cache.reasons import Reason


def checks(
    environ: dict[str, str], token: Path | None = None, ca_bundle: Path | None = None
) -> list[tuple[str, str]]:
    return [(one.check, str(one.severity)) for one in check_settings(environ, token, ca_bundle)]


def test_plain_settings_have_no_findings(tmp_path: Path) -> None:
    environ = {"HF_TOKEN": "hf_good", "HTTPS_PROXY": "http://me:pass@proxy:3128", "NO_PROXY": "localhost"}
    assert checks(environ, tmp_path / "absent") == []


@pytest.mark.parametrize(
    "value", ["ftp://proxy:1", "http://:3128", "http://proxy:99999", "http://me:pa/ss@proxy:1"]
)
def test_a_proxy_that_is_no_address_is_an_error_that_does_not_quote_it(value: str) -> None:
    (one,) = check_settings({"https_proxy": value}, None, None)
    assert (one.check, one.severity) == ("proxy", Severity.ERROR)
    assert value not in one.message + one.remedy


def test_two_proxies_of_one_kind_are_a_warning() -> None:
    assert checks({"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:1"}) == [("proxy", "warning")]


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "--ca-bundle"])
def test_a_bundle_that_cannot_be_used_is_an_error(
    tmp_path: Path, variable: str, content: bytes | None
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_bytes(content)
    environ = {} if variable == "--ca-bundle" else {variable: str(bundle)}
    (one,) = check_settings(environ, None, bundle if variable == "--ca-bundle" else None)
    assert (one.check, one.reason) == ("certificate", Reason.HUB_UNTRUSTED)


def test_a_token_with_a_line_break_inside_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hf_one\nhf_two")
    file.chmod(0o600)
    for found in (
        list(check_settings({"HF_TOKEN": "hf_one\nhf_two"}, None, None)),
        list(check_settings({}, file, None)),
    ):
        assert [one.check for one in found] == ["token"]
        assert "hf_" not in found[0].message


def test_two_tokens_and_a_token_file_of_all_are_warnings(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hf_one")
    file.chmod(0o644)
    assert checks({"HF_TOKEN": "hf_a", "HUGGING_FACE_HUB_TOKEN": "hf_b"}, file) == [("token", "warning")] * 2


def test_a_hub_that_must_not_be_asked_is_not_asked() -> None:
    def no_connection(*_: object) -> None:
        raise AssertionError("a request would be sent")

    (one,) = check_hub({"HF_HUB_OFFLINE": "1"}, None, None, None, no_connection)  # type: ignore[arg-type]
    assert "-u HF_HUB_OFFLINE" in one.remedy


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"HF_TOKEN_PATH": "/run/token", "HF_HOME": "/hf"}, "/run/token"),
        ({"HF_HOME": "/hf", "XDG_CACHE_HOME": "/x"}, "/hf/token"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/token"),
        ({}, "/home/me/.cache/huggingface/token"),
    ],
)
def test_the_token_file_is_where_the_hub_client_keeps_it(environ: dict[str, str], path: str) -> None:
    assert token_file(environ, Path("/home/me")) == Path(path)


def test_without_a_home_there_is_no_token_file() -> None:
    assert token_file({}, None) is None
