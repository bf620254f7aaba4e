"""A token reaches the hub and nothing else."""

from pathlib import Path

import pytest
import yaml

from tests.hub_double import Fault, FaultKind, HubDouble, Repository, self_signed_certificate

from .worlds import World, catalog_of, written

TOKEN = "hf_not_to_be_seen"


@pytest.fixture
def gated(world: World) -> World:
    first = world.repositories[0]
    files = {name: file.source for name, file in first.files.items()}
    repository = Repository("org/gated", files, token=TOKEN)
    world.hub.add(repository)
    catalog = catalog_of([repository, world.repositories[1]], None)
    world.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    return world


def test_a_token_goes_to_the_hub_and_not_to_where_it_redirects(
    gated: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    assert gated.warm().reason == "OK"

    assert any(request.authorized for request in gated.hub.log.requests("*org/gated*", host="hub"))
    assert gated.hub.log.requests(host="storage")
    assert not any(request.authorized for request in gated.hub.log.requests(host="storage"))
    assert not any(request.authorized for request in gated.hub.log.requests("/wheels/*"))


def test_a_token_does_not_follow_a_page_link_to_another_host(
    gated: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with HubDouble([Repository("org/other", written(tmp_path / "other", {"a": b"a"}))]) as other:
        link = f'<{other.url.replace("127.0.0.1", "localhost")}/api/models/org/other/tree/main>; rel="next"'
        gated.hub.faults.add(Fault(FaultKind.HEADERS, "*/tree/*", headers={"Link": link}))
        gated.warm("one")

        assert other.log.requests()
        assert not any(request.authorized for request in other.log.requests())


def test_a_repository_that_wants_a_token_says_how_to_give_one(gated: World) -> None:
    outcome = gated.warm()

    assert (outcome.reason, outcome.code) == ("HUB_UNAUTHORIZED", 20)
    assert "org/gated" in outcome.err
    assert "HF_TOKEN" in outcome.err


def test_a_token_is_in_no_message_log_or_file(
    gated: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    gated.hub.faults.add(Fault(FaultKind.STATUS, "model.safetensors", status=403))

    with caplog.at_level("DEBUG", "cache_warmer"):
        outcome = gated.warm(endpoint=gated.endpoint.replace("http://", "http://someone:secret@"))

    assert outcome.code == 20
    said = outcome.err + str(outcome.document) + caplog.text
    assert TOKEN not in said
    assert "secret" not in said
    files = [path for path in gated.cache.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in path.read_bytes() for path in files)


def test_a_certificate_that_nobody_trusts_is_untrusted_until_its_ca_is_given(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed_certificate(tmp_path)
    with HubDouble(world.repositories, [world.wheel], tls=certificate) as secure:
        refused = world.warm("one", endpoint=secure.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
        trusted = world.warm("one", endpoint=secure.url)

    assert (refused.reason, refused.code) == ("HUB_UNTRUSTED", 23)
    assert "SSL_CERT_FILE" in refused.err
    assert trusted.reason == "OK", trusted.err
