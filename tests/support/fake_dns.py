"""A DNS server for one name, whose addresses a test changes: `dns://127.0.0.1:PORT/worker.test:50051` is its target."""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

_HEADER: Final = struct.Struct("!6H")
_A_RECORD: Final = 1
# Flags of an answer: it is one, authoritative, recursion is available.
_ANSWER: Final = 0x8580


class FakeDns:
    """The server.

    Attributes:
        addresses: the IPv4 addresses of every name.
        queries: number of queries for addresses so far.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)
        self.queries = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def target(self, port: int) -> str:
        """Return the gRPC target of a name whose addresses this server knows."""
        return f"dns://127.0.0.1:{self._socket.getsockname()[1]}/worker.test:{port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(4096)
            if not query:
                return
            self._socket.sendto(self._answer(query), sender)

    def _answer(self, query: bytes) -> bytes:
        identifier, _, _, _, _, _ = _HEADER.unpack_from(query)
        end = query.index(b"\0", _HEADER.size) + 5
        (kind,) = struct.unpack_from("!H", query, end - 4)
        addresses = self.addresses if kind == _A_RECORD else []
        self.queries += kind == _A_RECORD
        records = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", _A_RECORD, 1, 0, 4) + socket.inet_aton(each)
            for each in addresses
        )
        head = _HEADER.pack(identifier, _ANSWER, 1, len(addresses), 0, 0)
        return head + query[_HEADER.size : end] + records


@contextmanager
def fake_dns(*addresses: str) -> Iterator[FakeDns]:
    """Serve until the end of the block."""
    server = FakeDns(addresses)
    server.start()
    try:
        yield server
    finally:
        server.stop()
