"""TLS of the HTTP port: client certificates, and files that are replaced while it serves."""

import asyncio
import json
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from qda_worker.addresses import Address
from qda_worker.http.calls import HttpContext
from qda_worker.http.exchange import Exchange, Response
from qda_worker.http.server import HttpServer
from qda_worker.server.tls import RotatingIdentity
from qda_worker.settings import TlsFiles
from tests.support.certificates import Authority, KeyPair
from tests.support.http_client import request


async def names(exchange: Exchange) -> Response:
    """Answer with the names in the client's certificate."""
    found = HttpContext(exchange, (), None).auth_context()
    return Response(200, json.dumps({key: [name.decode() for name in found[key]] for key in found}).encode())


@asynccontextmanager
async def serving(files: TlsFiles) -> AsyncIterator[int]:
    server = HttpServer(names, structlog.get_logger())
    identity = RotatingIdentity(files, structlog.get_logger())
    address = await server.listen(Address("127.0.0.1", 0), identity.ssl_context())
    assert address.port is not None
    try:
        yield address.port
    finally:
        await server.stop(0)


async def answer(port: int, ca: Path, own: KeyPair | None = None) -> str:
    context = ssl.create_default_context(cafile=ca)
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(request("/", b"", "Connection: close"))
        response = await asyncio.wait_for(reader.read(), 30)
        if not response:
            raise ConnectionResetError
        return response.decode().rpartition("\r\n")[2]
    finally:
        writer.close()


async def test_clients_need_a_certificate_whose_names_the_call_knows(tmp_path: Path) -> None:
    authority, foreign = Authority(tmp_path), Authority(tmp_path, "foreign")
    own = authority.issue("own")
    async with serving(TlsFiles(own.certificate, own.key, authority.file)) as port:
        known = await answer(port, authority.file, authority.issue("client"))
        assert json.loads(known)["x509_common_name"] == ["client"]
        assert "localhost" in json.loads(known)["x509_subject_alternative_name"]
        for wrong in (None, foreign.issue("stranger")):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await answer(port, authority.file, wrong)


async def test_renewed_files_are_used_by_the_next_connection(tmp_path: Path) -> None:
    old, new = Authority(tmp_path), Authority(tmp_path, "new")
    own, renewed = old.issue("own"), new.issue("renewed")
    ca = tmp_path / "ca.crt"
    shutil.copy(old.file, ca)
    async with serving(TlsFiles(own.certificate, own.key, ca)) as port:
        before, after = old.issue("before"), new.issue("after")
        assert "before" in await answer(port, old.file, before)
        own.certificate.write_bytes(renewed.certificate.read_bytes())
        assert "before" in await answer(port, old.file, before)  # certificate and key do not match yet
        own.key.write_bytes(renewed.key.read_bytes())
        shutil.copy(new.file, ca)
        assert "after" in await answer(port, new.file, after)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await answer(port, new.file, before)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_no_session_of_a_removed_client_ca_is_resumed(tmp_path: Path, version: ssl.TLSVersion) -> None:
    kept, removed = Authority(tmp_path), Authority(tmp_path, "removed")
    own, client = kept.issue("own"), removed.issue("client")
    ca = tmp_path / "ca.crt"
    ca.write_bytes(kept.file.read_bytes() + removed.file.read_bytes())
    context = ssl.create_default_context(cafile=kept.file)
    context.load_cert_chain(client.certificate, client.key)
    context.maximum_version = version

    def call(port: int, session: ssl.SSLSession | None) -> tuple[bytes, ssl.SSLSession | None]:
        """Return the answer, and the session of a connection that both sides have closed in order."""
        with (
            socket.create_connection(("127.0.0.1", port), 30) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as connection,
        ):
            connection.sendall(request("/", b"", "Connection: close"))
            answered = b"".join(iter(lambda: connection.recv(4096), b""))
            last = connection.session
            connection.unwrap()
            return answered, last

    async with serving(TlsFiles(own.certificate, own.key, ca)) as port:
        answered, session = await asyncio.to_thread(call, port, None)
        assert b"client" in answered
        shutil.copy(kept.file, ca)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(call, port, session)
