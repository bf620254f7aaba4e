"""Addresses to listen on: `127.0.0.1:50051`, `[::]:50051`, `localhost:0`, `unix:/run/qda.sock`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port; port 0 lets the system choose. A Unix socket has its path as host and port None."""

    host: str
    port: int | None

    def __str__(self) -> str:
        """As gRPC takes it."""
        if self.port is None:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def at(self, port: int) -> "Address":
        """The same host with the port that was given in the end."""
        return self if self.port is None else Address(self.host, port)


def parse_address(text: str) -> Address:
    """Raises ValueError that says what is allowed."""
    if text.startswith("unix:") and len(text) > len("unix:"):
        return Address(text, None)
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or (":" in host and not bracketed) or not _is_port(port):
        raise ValueError("HOST:PORT, as 127.0.0.1:50051 or [::]:50051")
    return Address(host, int(port))


def parse_tcp_address(text: str) -> Address:
    """The same without Unix sockets. Raises ValueError."""
    address = parse_address(text)
    if address.port is None:
        raise ValueError("HOST:PORT, as 127.0.0.1:9464; a Unix socket cannot be used here")
    return address


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
