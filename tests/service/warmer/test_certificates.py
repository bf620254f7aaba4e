"""The authorities that the warmer trusts: those of the system or of a variable, and those of `--ca-bundle` too."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cache_warmer.errors import HubError, HubUntrusted
from cache_warmer.hub.certificates import make_tls_context
from cache_warmer.hub.http_client import RetryingClient
from tests.service.warmer.fixtures import QUICK, Workspace
from tests.support.fake_hub import FakeHub, self_signed_certificate
from tests.support.fake_hub.certificate import Certificate


def test_a_bundle_of_a_private_authority_is_added_to_the_public_ones(
    workspace: Workspace, tmp_path: Path
) -> None:
    """The hub has a certificate of a private authority, the wheels have one of an authority that others trust too."""
    private, public = tmp_path / "private", tmp_path / "public"
    private.mkdir()
    public.mkdir()
    ours, theirs = self_signed_certificate(private), self_signed_certificate(public)
    with (
        FakeHub(workspace.repositories, tls=ours) as hub,
        FakeHub(wheels=[workspace.wheel], tls=theirs) as files,
    ):
        command = [sys.executable, "-m", "cache_warmer", *workspace.arguments("warm")]
        files_url = files.url
        command[command.index("--hub") + 1] = hub.url
        command[command.index("--wheel-base") + 1] = f"{files_url}/wheels"

        def warm(**environ: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command, env={**os.environ, **environ}, capture_output=True, text=True, check=False
            )

        replaced = warm(SSL_CERT_FILE=str(ours.certificate))
        public_only = warm(SSL_CERT_FILE=str(theirs.certificate))
        added = warm(SSL_CERT_FILE=str(theirs.certificate), QDA_CA_BUNDLE=str(ours.certificate))

    assert replaced.returncode == 23, "SSL_CERT_FILE replaces, as it does for other programs"
    assert files_url in replaced.stderr
    assert public_only.returncode == 23
    assert "QDA_CA_BUNDLE" in public_only.stderr
    assert added.returncode == 0, added.stderr


class _TlsProxy(threading.Thread):
    """A proxy that is itself reached over TLS, for one connection."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = certificate.server_context()
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[str] = []

    def run(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with contextlib.suppress(OSError), self._context.wrap_socket(client, server_side=True) as tunnel:
                self.requests.append(tunnel.recv(65536).decode().partition("\r\n")[0])
                tunnel.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def test_the_certificate_of_a_proxy_is_checked_with_the_same_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed_certificate(tmp_path)
    proxy = _TlsProxy(certificate)
    proxy.start()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    hub = "https://hub.invalid"

    with (
        RetryingClient(hub, QUICK, 5.0, make_tls_context({}, None)) as client,
        pytest.raises(HubUntrusted),
    ):
        client.get(hub)
    assert proxy.requests == []

    with (
        RetryingClient(hub, QUICK, 5.0, make_tls_context({}, certificate.certificate)) as client,
        pytest.raises(HubError),
    ):
        client.get(hub)
    assert set(proxy.requests) == {"CONNECT hub.invalid:443 HTTP/1.1"}
