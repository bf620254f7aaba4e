"""The HTTP port of the worker: its routes, and the handlers of all services that they call.

It has no services of its own. The same handlers run inside the same interceptors as on the gRPC port; see
`qda_worker.http.calls`.
"""

import ssl
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2_grpc

from qda_worker.addresses import Address
from qda_worker.http.calls import CallRunner, collect_handlers
from qda_worker.http.connect import ConnectRoute
from qda_worker.http.exchange import Route
from qda_worker.http.explorer.routes import document_routes
from qda_worker.http.openai.routes import PREFIX, OpenAiRoute
from qda_worker.http.routes import Router
from qda_worker.http.server import HttpServer
from qda_worker.observability.logs import Log
from qda_worker.registry.registry import ModelRegistry
from qda_worker.server.health import Health
from qda_worker.services import add_services
from qda_worker.settings import ServeSettings
from qda_worker.version import worker_version


def bind_http_server(
    registry: ModelRegistry,
    health: Health,
    settings: ServeSettings,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    address: Address,
    *,
    tls: ssl.SSLContext | None,
    log: Log,
) -> tuple[HttpServer, Address]:
    """Create the HTTP server and bind its address; it accepts connections when it is started.

    Args:
        registry: the models that answer.
        health: the health servicer, which also says whether the worker drains.
        settings: limits and options.
        interceptors: those of the gRPC port.
        address: where to listen.
        tls: None for plain text.
        log: receives internal errors.

    Returns:
        The server, and its address with the port that it was given.

    Raises:
        UsageError: the address cannot be bound.
    """

    def add(server: grpc.aio.Server) -> None:
        add_services(server, registry, settings.shared.cache)
        health_pb2_grpc.add_HealthServicer_to_server(health, server)

    calls = CallRunner(collect_handlers(add), interceptors)
    routes: dict[str, Route] = {
        PREFIX: OpenAiRoute(calls, registry.catalog),
        **document_routes(worker_version()),
    }
    router = Router(routes, ConnectRoute(calls), settings.http_cors_origins)
    server = HttpServer(
        router, log, draining=lambda: health.draining, max_connection_age=settings.max_connection_age
    )
    return server, server.bind(address, tls)
