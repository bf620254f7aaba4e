"""The server: a hub, a second host for its large files, and access to the faults and the log of both."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from .certificate import Certificate
from .faults import Faults
from .listener import Listener
from .protocol import Hub
from .repository import Repository
from .request_log import Host, RequestLog
from .service import Service


class FakeHub:
    """Serves the repositories and wheels between `start` and `close`, or within a `with`.

    Args:
        repositories: revisions to serve; those of one id together make a repository.
        wheels: files served under `/wheels/NAME` and `/ANY/ANY/releases/download/ANY/NAME`.
        listen: `HOST:PORT` of the hub, port 0 for a free one.
        storage_listen: the same for the second host, to which requests for files under LFS are redirected;
            None has the hub send them itself.
        storage_host: the name under which the second host is to be reached, if not that of the request's
            Host header.
        base_url, storage_url: the addresses (without prefix) that redirects and page links point to, where
            neither of these can be made out of the Host header, as behind a proxy.
        prefix: the path below which the hub lies, such as `/mirror`.
        page_size: entries in a page of a tree.
        tls: serve HTTPS with this certificate.
        log_file: gets a line of JSON for each request.

    Raises:
        OSError: an address cannot be listened on.
    """

    def __init__(
        self,
        repositories: Iterable[Repository] = (),
        wheels: Iterable[Path] = (),
        *,
        listen: str = "127.0.0.1:0",
        storage_listen: str | None = "127.0.0.1:0",
        storage_host: str | None = None,
        base_url: str | None = None,
        storage_url: str | None = None,
        prefix: str = "",
        page_size: int = 1000,
        tls: Certificate | None = None,
        log_file: Path | None = None,
    ) -> None:
        self._listen = listen_address(listen)
        self._storage_listen = listen_address(storage_listen) if storage_listen is not None else None
        self._storage_host = storage_host
        self._base_url = base_url.rstrip("/") if base_url else None
        self._storage_url = storage_url.rstrip("/") if storage_url else None
        self._scheme = "https" if tls else "http"
        self._tls = tls.server_context() if tls else None
        self._prefix = prefix.rstrip("/")
        self._hub = Hub(repositories, wheels, page_size)
        self._service = Service(
            self._hub, self._base_of, self._storage_base_of, self._prefix, RequestLog(log_file)
        )
        self._listener: Listener | None = None
        self._storage: Listener | None = None

    @property
    def faults(self) -> Faults:
        return self._service.faults

    @property
    def log(self) -> RequestLog:
        return self._service.log

    @property
    def url(self) -> str:
        """The hub's address, as for HF_ENDPOINT."""
        return self._base_of(_running(self._listener).origin) + self._prefix

    @property
    def storage_url(self) -> str:
        """The second host's address; the hub's own where there is none."""
        return self._storage_base_of(_running(self._listener).origin) or self.url

    def add(self, repository: Repository) -> None:
        """Serve one more revision from now on; the branches that it names move to it."""
        self._hub.add(repository)

    def start(self) -> None:
        with contextlib.ExitStack() as undo:
            if self._storage_listen is not None:
                self._storage = self._opened("storage", self._storage_listen)
                undo.callback(self.close)
            self._listener = self._opened("hub", self._listen)
            undo.pop_all()

    def close(self) -> None:
        for listener in (self._listener, self._storage):
            if listener is not None:
                listener.close()
        self._listener = self._storage = None

    def __enter__(self) -> "FakeHub":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self, host: Host, address: tuple[str, int]) -> Listener:
        return Listener(host, address, self._service, self._tls)

    def _base_of(self, origin: str) -> str:
        return self._base_url or f"{self._scheme}://{origin}"

    def _storage_base_of(self, origin: str) -> str | None:
        if self._storage_url is not None:
            return self._storage_url
        if self._storage is None:
            return None
        host = self._storage_host or urlsplit(f"//{origin}").hostname or "127.0.0.1"
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{self._storage.port}"


def listen_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[::]:PORT` or `:PORT` (all addresses).

    Raises:
        ValueError: no port.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal():
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)


def _running(listener: Listener | None) -> Listener:
    if listener is None:
        raise RuntimeError("the fake hub has not been started")
    return listener
