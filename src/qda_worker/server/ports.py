"""The ports of the worker: gRPC, gRPC for probes, and HTTP, each bound and started by its own module.

All are bound before one serves, so that a port in use ends the program at once. They are stopped by `lifecycle.drain`.
"""

from collections.abc import Awaitable, Callable, Sequence

import grpc

from qda_worker.addresses import Address
from qda_worker.http.server import HttpServer
from qda_worker.observability.logs import Log
from qda_worker.registry.registry import ModelRegistry
from qda_worker.server.grpc_server import create_health_server, create_server, create_successor
from qda_worker.server.health import Health
from qda_worker.server.http_server import bind_http_server
from qda_worker.server.lifecycle import Stoppable, write_port_file
from qda_worker.server.tls import RotatingIdentity
from qda_worker.settings import ServeSettings
from qda_worker.version import worker_version


class Ports:
    """Starts the servers of one worker."""

    def __init__(
        self,
        registry: ModelRegistry,
        health: Health,
        settings: ServeSettings,
        interceptors: Sequence[grpc.aio.ServerInterceptor],
        identity: RotatingIdentity | None,
        log: Log,
    ) -> None:
        """Prepare the servers; nothing listens yet.

        Args:
            registry: the models that answer.
            health: the health servicer of all ports.
            settings: addresses, limits and options.
            interceptors: of the calls of gRPC and HTTP.
            identity: certificate and key; None for plain text.
            log: receives `server.listening`, `health.listening` and `http.listening`.
        """
        self._registry = registry
        self._health = health
        self._settings = settings
        self._interceptors = interceptors
        self._identity = identity
        self._log = log
        self._address = settings.listen  # with the port that it was given, once it listens

    async def start(self, *, before_serving: Callable[[], Awaitable[None]]) -> list[Stoppable]:
        """Bind all ports, then start the servers; return them, the main one first.

        Args:
            before_serving: awaited when the ports are bound.

        Raises:
            UsageError: an address cannot be bound.
        """
        settings = self._settings
        main, address = create_server(
            self._registry, self._health, settings, self._interceptors, credentials=self._credentials()
        )
        self._address = address
        servers = [main]
        if settings.health_listen is not None:
            health_server, health_address = create_health_server(self._health, settings.health_listen)
            servers.append(health_server)
            self._log.info("health.listening", address=str(health_address), port=health_address.port)
        http = None if settings.http_listen is None else self._bind_http(settings.http_listen)
        await before_serving()
        for each in servers:
            await each.start()
        if http is not None:
            http.start()
        self._log.info(
            "server.listening",
            address=str(address),
            port=address.port,
            tls=self._tls_mode,
            version=worker_version(),
            models=list(self._registry.models),
            generation=self._registry.generation,
            cpus=settings.cpu.threads,
        )
        write_port_file(settings.port_file, address)
        return [*servers, *filter(None, [http])]

    async def start_successor(self) -> grpc.aio.Server | None:
        """Start the server that takes new connections while the main one ends its own."""
        server = create_successor(
            self._registry,
            self._health,
            self._settings,
            self._interceptors,
            self._address,
            credentials=self._credentials(),
        )
        if server is not None:
            await server.start()
        return server

    def _bind_http(self, address: Address) -> HttpServer:
        server, address = bind_http_server(
            self._registry,
            self._health,
            self._settings,
            self._interceptors,
            address,
            tls=self._identity.ssl_context() if self._identity else None,
            log=self._log,
        )
        self._log.info("http.listening", address=str(address), port=address.port, tls=self._tls_mode)
        return server

    def _credentials(self) -> grpc.ServerCredentials | None:
        return self._identity.credentials() if self._identity else None

    @property
    def _tls_mode(self) -> str:
        if self._identity is None:
            return "off"
        return "mutual" if self._identity.current.client_ca else "on"
