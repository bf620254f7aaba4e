"""The gRPC servers: one with all services, and one for probes that has the health service only.

Both are bound and started before any model is loaded, so that probes and `GetCacheStatus` work from the start. The
channel options are those of gRPC's `grpc_types.h`; the reason for each value is given beside it in `_options`.

Interceptors of the main server, from the outside in: observation (log, metrics, traces), access (tokens and names of
certificates), errors (exceptions to statuses), the limit of concurrent calls, and parse errors of calls to health and
reflection.

While the worker drains, a successor listens at the same address (`create_successor`; `lifecycle` says why). Both share
the interceptors, and so the limit of concurrent calls. Two servers at one address need SO_REUSEPORT. It would also let
a second worker of the same user take half of the connections without an error, so the address is tried without it
first.
"""

import errno
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2_grpc

from model_cache.errors import UsageError
from qda_worker.access.policy import AccessPolicy
from qda_worker.addresses import Address
from qda_worker.interceptors.access import AccessInterceptor
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
# Maximum age in seconds of a connection to the successor. It loses no call: gRPC still takes what was sent before the
# client read the GOAWAY. Short, so that each client leaves as soon as its name resolves to other workers.
_SUCCESSOR_CONNECTION_AGE: Final = 1.0

_REUSE_PORT: Final = hasattr(socket, "SO_REUSEPORT")


def create_interceptors(
    health: Health,
    access: AccessPolicy,
    *,
    listeners: Sequence[CallListener],
    log: Log,
) -> list[grpc.aio.ServerInterceptor]:
    """Return the interceptors of the main server and of its successor, from the outside in.

    Args:
        health: says whether the worker drains.
        access: decides which calls are accepted, and counts those in progress.
        listeners: notified of the start and the end of each call.
        log: receives internal errors of calls.
    """
    return [
        CallObserver(listeners, draining=lambda: health.draining),
        AccessInterceptor(access),
        ErrorInterceptor(log),
        CallLimit(access.calls),
        LibraryCallInterceptor(),
    ]


def create_server(
    registry: ModelRegistry,
    health: Health,
    settings: ServeSettings,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    *,
    credentials: grpc.ServerCredentials | None,
) -> tuple[grpc.aio.Server, Address]:
    """Create the server of all services, bound but not started.

    Args:
        registry: the models that answer.
        health: the health servicer, shared with the probe server.
        settings: address, limits and options.
        interceptors: those of `create_interceptors`.
        credentials: TLS credentials; None for plain text.

    Returns:
        The server, and its address with the port that it was given.

    Raises:
        UsageError: the address cannot be bound.
    """
    if _REUSE_PORT and _is_taken(settings.listen):
        raise _not_bound("--listen", settings.listen)
    server = _create_unbound(registry, health, settings, interceptors)
    return server, _bind(server, settings.listen, "--listen", credentials)


def create_successor(
    registry: ModelRegistry,
    health: Health,
    settings: ServeSettings,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    address: Address,
    *,
    credentials: grpc.ServerCredentials | None,
) -> grpc.aio.Server | None:
    """Create the server that takes new connections while the first one ends its own; bound but not started.

    Args:
        registry: as for `create_server`, like the arguments that are not listed.
        health: the health servicer.
        settings: limits and options.
        interceptors: those of the first server.
        address: that of the first server, which still listens there.
        credentials: TLS credentials; None for plain text.

    Returns:
        None where two servers cannot share an address: a Unix socket, or a system without SO_REUSEPORT.
    """
    if address.port is None or not _REUSE_PORT:
        return None
    settings = replace(settings, max_connection_age=_SUCCESSOR_CONNECTION_AGE)
    server = _create_unbound(registry, health, settings, interceptors)
    try:
        _bind(server, address, "--listen", credentials)
    except UsageError:  # a sandbox may lack SO_REUSEPORT although the system has it
        return None
    return server


def _create_unbound(
    registry: ModelRegistry,
    health: Health,
    settings: ServeSettings,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
) -> grpc.aio.Server:
    server = grpc.aio.server(interceptors=list(interceptors), options=_options(settings))
    add_services(server, registry, settings.shared.cache)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        add_reflection(server, [*SERVICES, HEALTH_SERVICE])
    return server


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
        # For the successor; see the module.
        ("grpc.so_reuseport", int(_REUSE_PORT)),
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
        raise _not_bound(option, address) from error
    return address.at(port)


def _is_taken(address: Address) -> bool:
    """Return whether another program listens at an address. Errors of other kinds are left to gRPC."""
    if not address.port:
        return False
    try:
        candidates = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        return False
    return any(_is_in_use(family, where) for family, _, _, _, where in candidates)


def _is_in_use(family: int, where: Any) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As gRPC does: connections of a former worker that are not quite closed do not block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _not_bound(option: str, address: Address) -> UsageError:
    return UsageError(
        f"{option} {address}: cannot listen there; the port is in use, or the address is not one of this machine",
        "choose another port, or stop the program that uses it",
    )
