"""The authorities of `--ca-bundle` are added to the others; a bundle that is none is named."""

from pathlib import Path

import pytest

from cache_warmer.errors import HubUntrusted
from cache_warmer.hub.certificates import make_tls_context
from tests.support.fake_hub.certificate import self_signed_certificate


def test_a_bundle_adds_to_the_authorities_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = tmp_path / "public", tmp_path / "private"
    public.mkdir()
    private.mkdir()
    theirs, ours = self_signed_certificate(public).certificate, self_signed_certificate(private).certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(theirs))

    context = make_tls_context({"SSL_CERT_FILE": str(theirs)}, ours)

    assert len(context.get_ca_certs()) == 2
    assert context.check_hostname


def test_without_a_variable_it_adds_to_those_of_the_system(tmp_path: Path) -> None:
    ours = self_signed_certificate(tmp_path).certificate
    system, more = make_tls_context({}, None), make_tls_context({}, ours)
    assert len(more.get_ca_certs()) == len(system.get_ca_certs()) + 1


def test_the_variables_have_an_order(tmp_path: Path) -> None:
    ours = str(self_signed_certificate(tmp_path).certificate)
    for environ, variable in (
        ({"CURL_CA_BUNDLE": ours}, "SSL_CERT_FILE"),
        ({"REQUESTS_CA_BUNDLE": ours, "CURL_CA_BUNDLE": "/nowhere"}, "SSL_CERT_FILE"),
        ({"REQUESTS_CA_BUNDLE": str(tmp_path), "CURL_CA_BUNDLE": "/nowhere"}, "SSL_CERT_DIR"),
        ({"SSL_CERT_FILE": ours, "REQUESTS_CA_BUNDLE": "/nowhere"}, "SSL_CERT_FILE"),
    ):
        make_tls_context(environ, None)
        assert environ[variable] in (ours, str(tmp_path))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "No such file"),
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"\x30\x82\x01\x0a", "not in PEM form"),
        (b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "a broken certificate"),
    ],
)
def test_the_error_names_file_cause_and_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, cause: str
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(HubUntrusted) as raised:
        make_tls_context({}, bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))  # which the HTTP client reads itself
    with pytest.raises(HubUntrusted) as by_variable:
        make_tls_context({"SSL_CERT_FILE": str(bundle)}, None)

    for error, origin in ((raised.value, "--ca-bundle"), (by_variable.value, "SSL_CERT_FILE")):
        assert str(bundle) in error.message
        assert cause in error.message
        assert origin in error.remedy


def test_a_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(HubUntrusted, match="Is a directory"):
        make_tls_context({}, tmp_path)
