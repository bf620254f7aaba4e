"""The gRPC servers: one for everything, and one that tells probes about health and nothing else.

Both listen before anything is loaded. Options are those of `grpc_types.h`; each has its reason here.
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
from qda_worker.limits import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MIN_PING_SECONDS
from qda_worker.observability.call_record import CallListener
from qda_worker.observability.logs import Log
from qda_worker.registry.registry import ModelRegistry
from qda_worker.server.health import HEALTH_SERVICE, Health
from qda_worker.server.reflection import add_reflection
from qda_worker.services import SERVICES, add_services
from qda_worker.settings import ServeSettings

_SERVER_PING_SECONDS: Final = 60
_PING_TIMEOUT_SECONDS: Final = 20
_HANDSHAKE_SECONDS: Final = 20


def open_server(
    fleet: ModelRegistry,
    health: Health,
    settings: ServeSettings,
    *,
    credentials: grpc.ServerCredentials | None,
    listeners: Sequence[CallListener],
    log: Log,
) -> tuple[grpc.aio.Server, Address]:
    """The server of all services, bound but not started, and its address with the port it got. Raises UsageError.

    credentials: of TLS; None: plain text. listeners: who hears of each call.
    """
    server = grpc.aio.server(
        # From the outside in: who looks on, who makes statuses of errors, who refuses.
        interceptors=[
            CallObserver(listeners, ending=lambda: health.draining),
            ErrorInterceptor(log),
            CallLimit(settings.max_calls),
            LibraryCallInterceptor(),
        ],
        options=_options(settings),
    )
    add_services(server, fleet, settings.shared.cache)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        add_reflection(server, [*SERVICES, HEALTH_SERVICE])
    return server, _bind(server, settings.listen, "--listen", credentials)


def open_health_server(health: Health, address: Address) -> tuple[grpc.aio.Server, Address]:
    """The probes' server, bound but not started, and its address. Raises UsageError."""
    server = grpc.aio.server(interceptors=[LibraryCallInterceptor()], options=[("grpc.so_reuseport", 0)])
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    return server, _bind(server, address, "--health-listen")


def _options(settings: ServeSettings) -> list[tuple[str, Any]]:
    return [
        ("grpc.so_reuseport", 0),  # a second worker on the same port is a mistake, not half of the traffic
        ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
        ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
        # Old connections are asked to go (gRPC adds 10 % of jitter), so that new pods get traffic; calls on them end
        # in peace, for the age's own grace is infinite.
        ("grpc.max_connection_age_ms", max(1, int(settings.max_connection_age * 1000))),
        # Clients may look for dead connections as often as ours does, also between calls.
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_SECONDS * 1000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Whoever connects and says nothing is cut off; gRPC would wait two minutes.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_SECONDS * 1000),
        # One connection cannot open streams without end. Far above the limit of calls, for what is beyond this one is
        # UNAVAILABLE without a reason while the connection is new, and waits in the client afterwards.
        ("grpc.max_concurrent_streams", 2 * settings.max_calls + 1000),
        # And the server finds clients that vanished without a word, whose calls would hold the queue.
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
            f"{option} {address}: cannot listen there; is the port in use, and the address one of this machine's?",
            "choose another port, or stop what listens there",
        ) from error
    return address.at(port)
