"""The gRPC servers: one with all services, and one for probes that has the health service only.

Both are bound and started before any model is loaded, so that probes and `GetCacheStatus` work from the start. The
channel options are those of gRPC's `grpc_types.h`; the reason for each value is given beside it in `_options`.

Interceptors of the main server, from the outside in: observation (log, metrics, traces), errors (exceptions to
statuses), the limit of concurrent calls, and parse errors of calls to health and reflection.
"""

from collections.abc import Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2_grpc

from model_cache.errors import UsageError
from qda_worker.addresses import Address
from qda_worker.interceptors.concurrency import CallLimit
from qda_worker.interceptors.errors import ErrorInterceptor
from qda_worker.interceptors.library_calls import LibraryCallInterceptor
from qda_worker.interceptors.observation import CallObserver
from qda_worker.limits import (
    MAX_HEALTH_REQUEST_BYTES,
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    MIN_PING_SECONDS,
)
from qda_worker.observability.call_record import CallListener
from qda_worker.observability.logs import Log
from qda_worker.registry.registry import ModelRegistry
from qda_worker.server.health import HEALTH_SERVICE, Health
from qda_worker.server.reflection import add_reflection
from qda_worker.services import SERVICES, add_services
from qda_worker.settings import ServeSettings

# Seconds between two keepalive pings of the server on an idle connection.
_SERVER_PING_SECONDS: Final = 60
# Seconds to wait for the answer to a ping before the connection is closed.
_PING_TIMEOUT_SECONDS: Final = 20
# Seconds that a new connection has for its handshake; gRPC's default is 120.
_HANDSHAKE_SECONDS: Final = 20


def create_server(
    registry: ModelRegistry,
    health: Health,
    settings: ServeSettings,
    *,
    credentials: grpc.ServerCredentials | None,
    listeners: Sequence[CallListener],
    log: Log,
) -> tuple[grpc.aio.Server, Address]:
    """Create the server of all services, bound but not started.

    Args:
        registry: the models that answer.
        health: the health servicer, shared with the probe server.
        settings: address, limits and options.
        credentials: TLS credentials; None for plain text.
        listeners: notified of the start and the end of each call.
        log: receives internal errors of calls.

    Returns:
        The server, and its address with the port that it was given.

    Raises:
        UsageError: the address cannot be bound.
    """
    server = grpc.aio.server(
        # From the outside in.
        interceptors=[
            CallObserver(listeners, draining=lambda: health.draining),
            ErrorInterceptor(log),
            CallLimit(settings.max_calls),
            LibraryCallInterceptor(),
        ],
        options=_options(settings),
    )
    add_services(server, registry, settings.shared.cache)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        add_reflection(server, [*SERVICES, HEALTH_SERVICE])
    return server, _bind(server, settings.listen, "--listen", credentials)


def create_health_server(health: Health, address: Address) -> tuple[grpc.aio.Server, Address]:
    """Create the probe server, bound but not started.

    Returns:
        The server, and its address with the port that it was given.

    Raises:
        UsageError: the address cannot be bound.
    """
    server = grpc.aio.server(
        interceptors=[LibraryCallInterceptor()],
        options=[
            ("grpc.so_reuseport", 0),
            # This port asks for no certificate, and its only message holds the name of a service.
            ("grpc.max_receive_message_length", MAX_HEALTH_REQUEST_BYTES),
        ],
    )
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    return server, _bind(server, address, "--health-listen")


def _options(settings: ServeSettings) -> list[tuple[str, Any]]:
    return [
        # A second worker on the same port is an error; without this it would get half of the connections.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
        ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
        # Old connections are closed with GOAWAY, so that clients reconnect and new pods get traffic. gRPC adds 10 % of
        # jitter. Calls on the old connection finish: the grace of this option is infinite by default.
        ("grpc.max_connection_age_ms", max(1, int(settings.max_connection_age * 1000))),
        # Clients may ping as often as `qda_worker.client` does, also between calls.
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_SECONDS * 1000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Connections that send nothing are closed early.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_SECONDS * 1000),
        # Bounds the streams of one connection. It is far above --max-calls, because a call beyond this limit fails with
        # UNAVAILABLE and no reason while the connection is new, and waits in the client afterwards.
        ("grpc.max_concurrent_streams", 2 * settings.max_calls + 1000),
        # Finds clients that vanished without closing the connection; their calls would hold places in the queue.
        ("grpc.keepalive_time_ms", _SERVER_PING_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_SECONDS * 1000),
    ]


def _bind(
    server: grpc.aio.Server,
    address: Address,
    option: str,
    credentials: grpc.ServerCredentials | None = None,
) -> Address:
    try:
        if credentials is None:
            port = server.add_insecure_port(str(address))
        else:
            port = server.add_secure_port(str(address), credentials)
    except RuntimeError as error:
        raise UsageError(
            f"{option} {address}: cannot listen there; the port is in use, or the address is not one of this machine",
            "choose another port, or stop the program that uses it",
        ) from error
    return address.at(port)
