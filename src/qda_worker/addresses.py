"""Addresses to listen on: `127.0.0.1:50051`, `[::]:50051`, `localhost:0`, `unix:/run/qda.sock`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """An address to listen on, as gRPC writes it.

    Attributes:
        host: a host name or an IP address; for a Unix socket `unix:` and its path.
        port: the TCP port; 0 lets the system choose one; None for a Unix socket.
    """

    host: str
    port: int | None

    def __str__(self) -> str:
        if self.port is None:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def at(self, port: int) -> "Address":
        """Return the same host with the port that the system chose."""
        return self if self.port is None else Address(self.host, port)


def parse_address(text: str) -> Address:
    """Parse an address.

    Raises:
        ValueError: with what is allowed.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        return Address(text, None)
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or (":" in host and not bracketed) or not _is_port(port):
        raise ValueError("HOST:PORT, as 127.0.0.1:50051 or [::]:50051")
    return Address(host, int(port))


def parse_tcp_address(text: str) -> Address:
    """Parse an address that is not a Unix socket.

    Raises:
        ValueError: with what is allowed.
    """
    address = parse_address(text)
    if address.port is None:
        raise ValueError("HOST:PORT, as 127.0.0.1:9464; a Unix socket cannot be used here")
    return address


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
