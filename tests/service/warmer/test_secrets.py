"""A token reaches the hub only; certificates and proxies come from the usual variables."""

import contextlib
import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from cache_warmer.cli import cache_warmer
from model_cache.cli.program import run_main
from tests.service.warmer.fixtures import QUICK, Workspace, catalog_of, write_files
from tests.support.fake_hub import FakeHub, Fault, FaultKind, Repository, self_signed_certificate

TOKEN: Final = "hf_not_to_be_seen"


@pytest.fixture
def gated(workspace: Workspace) -> Workspace:
    first = workspace.repositories[0]
    files = {name: file.source for name, file in first.files.items()}
    repository = Repository("org/gated", files, token=TOKEN)
    workspace.hub.add(repository)
    catalog = catalog_of([repository, workspace.repositories[1]], None)
    workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    return workspace


def test_a_token_goes_to_the_hub_and_not_to_where_it_redirects(
    gated: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    assert gated.warm().reason == "OK"

    assert any(request.authorized for request in gated.hub.log.requests("*org/gated*", host="hub"))
    assert gated.hub.log.requests(host="storage")
    assert not any(request.authorized for request in gated.hub.log.requests(host="storage"))
    assert not any(request.authorized for request in gated.hub.log.requests("/wheels/*"))


def test_a_token_does_not_follow_a_page_link_to_another_host(
    gated: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with FakeHub([Repository("org/other", write_files(tmp_path / "other", {"a": b"a"}))]) as other:
        link = f'<{other.url.replace("127.0.0.1", "localhost")}/api/models/org/other/tree/main>; rel="next"'
        gated.hub.faults.add(Fault(FaultKind.HEADERS, "*/tree/*", headers={"Link": link}))
        gated.warm("one")

        assert other.log.requests()
        assert not any(request.authorized for request in other.log.requests())


def test_the_error_of_a_gated_repository_explains_how_to_give_a_token(gated: Workspace) -> None:
    outcome = gated.warm()

    assert (outcome.reason, outcome.code) == ("HUB_UNAUTHORIZED", 20)
    assert "org/gated" in outcome.err
    assert "HF_TOKEN" in outcome.err


def test_a_token_is_in_no_message_log_or_file(
    gated: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    gated.hub.faults.add(Fault(FaultKind.STATUS, "model.safetensors", status=403))

    with caplog.at_level("DEBUG", "cache_warmer"):
        outcome = gated.warm(endpoint=gated.endpoint.replace("http://", "http://someone:secret@"))

    assert outcome.code == 20
    output = outcome.err + str(outcome.document) + caplog.text
    assert TOKEN not in output
    assert "secret" not in output
    files = [path for path in gated.cache.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in path.read_bytes() for path in files)


def test_an_unknown_certificate_is_untrusted_until_its_ca_is_given(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed_certificate(tmp_path)
    with FakeHub(workspace.repositories, [workspace.wheel], tls=certificate) as secure:
        refused = workspace.warm("one", endpoint=secure.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
        trusted = workspace.warm("one", endpoint=secure.url)

    assert (refused.reason, refused.code) == ("HUB_UNTRUSTED", 23)
    assert "SSL_CERT_FILE" in refused.err
    assert trusted.reason == "OK", trusted.err


def warm_as_a_program(workspace: Workspace, endpoint: str, **environ: str) -> tuple[int, str]:
    """Run a warm as a program: the libraries read the environment variables of their process."""
    command = [sys.executable, "-m", "cache_warmer", *workspace.arguments("warm", "--model", "one")]
    command[command.index("--hub") + 1] = endpoint
    ended = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def test_the_ca_bundle_comes_from_the_variable_of_other_clients(workspace: Workspace, tmp_path: Path) -> None:
    certificate = self_signed_certificate(tmp_path)
    with FakeHub(workspace.repositories, [workspace.wheel], tls=certificate) as secure:
        code, err = warm_as_a_program(workspace, secure.url, REQUESTS_CA_BUNDLE=str(certificate.certificate))

    assert code == 0, err


@pytest.mark.parametrize(
    ("environ", "code", "message"),
    [
        ({"SSL_CERT_FILE": "/nowhere/bundle.pem"}, 23, "the CA bundle /nowhere/bundle.pem cannot be read"),
        ({"SSL_CERT_FILE": __file__}, 23, "cannot be read"),
        ({"ALL_PROXY": "socks9://x"}, 2, "the proxy cannot be used: "),
    ],
)
def test_an_unusable_ca_bundle_or_proxy_is_named_in_the_error(
    workspace: Workspace, environ: dict[str, str], code: int, message: str
) -> None:
    found, err = warm_as_a_program(workspace, workspace.endpoint, **environ)

    assert (found, message in err) == (code, True), err
    assert "Remedy: " in err
    assert not list(workspace.cache.rglob("models--*"))


# Parts of a password that is written into addresses without being encoded, and what stands between them.
PARTS: Final = ("Zebra", "Quokka")
BETWEEN: Final = ("/", "#", "?", "@", ":", "%", "//", "@/", "/@", "?@", " ")


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize(
    "shape", ["http://me:{}@127.0.0.1:9", "htp://me:{}@127.0.0.1:9", "me:{}@127.0.0.1:9"]
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_part_of_a_proxys_password_is_shown(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    shape: str,
    between: str,
) -> None:
    workspace.environ[variable] = shape.format(between.join(PARTS))
    monkeypatch.setenv(variable, workspace.environ[variable])  # the library reads that of the process
    (workspace.folder / "termination-log").touch()
    retry = dataclasses.replace(QUICK, attempts=1)

    with caplog.at_level("DEBUG"):
        outcome = workspace.warm("one", endpoint="http://hub.invalid", retry=retry, stall_timeout=1.0)

    assert outcome.code in {2, 22}, outcome.err
    files = [workspace.folder / "termination-log", workspace.cache / ".model-cache/status.json"]
    shown = [
        outcome.err,
        str(outcome.document),
        caplog.text,
        *(path.read_text() for path in files if path.exists()),
    ]
    assert not [part for part in PARTS for text in shown if part in text], shown
    if outcome.code == 2:
        assert variable in outcome.err


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize(
    "shape", ["http://me:{}@HUB/nothing", "htp://me:{}@HUB/nothing", "me:{}@HUB/nothing"]
)
@pytest.mark.parametrize("name", ["--hub", "--wheel-base", "HF_ENDPOINT", "QDA_WHEEL_BASE"])
def test_no_part_of_an_addresss_password_is_shown(
    workspace: Workspace, name: str, shape: str, between: str
) -> None:
    # a server that answers, because a refused connection is tried again for seconds
    address = shape.replace("HUB", workspace.hub.url.partition("://")[2]).format(between.join(PARTS))
    argv = [
        *workspace.arguments("plan", "--no-probe", "--model", "three" if "heel" in name.lower() else "one")
    ]
    if name.startswith("--"):
        argv[argv.index(name) + 1] = address
    else:
        flag = {"HF_ENDPOINT": "--hub", "QDA_WHEEL_BASE": "--wheel-base"}[name]
        del argv[argv.index(flag) : argv.index(flag) + 2]
        workspace.environ[name] = address
    out, err = io.StringIO(), io.StringIO()

    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        code = run_main(
            lambda args: cache_warmer(args, workspace.environ), argv, name="cache-warmer", environ={}
        )

    assert code in {2, 20, 21, 22, 23}, err.getvalue()
    assert not [part for part in PARTS if part in out.getvalue() + err.getvalue()], err.getvalue()
