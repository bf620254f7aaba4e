"""How a worker is reached: target, TLS, the caller's name, limits, and what gRPC itself does to balance and retry."""

import json
import re
import ssl
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import grpc

from qda_worker.client.errors import InvalidSettings
from qda_worker.limits import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MAX_TEXTS

# Where `qda-worker serve` listens by default.
DEFAULT_TARGET: Final = "127.0.0.1:50051"

_KEEPALIVE_SECONDS: Final = 60
# How soon a dead connection is noticed. Workers take a ping every 10 seconds (limits.MIN_PING_SECONDS; a test
# compares).

_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:(?!\d+$)")  # what follows is more than a port number

_IDEMPOTENT: Final = [
    "qda.v1.SentimentService",
    "qda.v1.EntityService",
    "qda.v1.EmbeddingService",
    "qda.v1.ParaphraseService",
    "qda.v1.ModelService",
]
# AnalyzeDocuments is missing: gRPC can only send a stream again from its start, the client goes on in its midst.


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM form for an encrypted connection.

    Attributes:
        ca: who signs the workers' certificates; None: the authorities that gRPC brings along.
        certificate, key: this client's own, for workers that want to know who calls (mutual TLS); both or none.
        server_name: the name in the worker's certificate, where it is not the target's.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about a client that does not depend on a single call. Checked when it is made.

    Attributes:
        target: `HOST:PORT` (all addresses of the name are used in turn), or any gRPC target: `ipv4:…,…`, `unix:…`.
        tls: None for plain text.
        caller: the name under which the worker's log and limits know this caller (`x-qda-caller`); empty: its address.
        timeout: seconds that one request may take, retries included. A long list is several requests.
        stream_timeout: seconds that one stream (paraphrases, analyze) may take; analyze opens the next one by itself.
        chunk_texts: texts in one request, at most 10,000. More are not faster: the worker makes its own batches.
        in_flight: requests of one list that are under way at once.
        watch_health: leave workers alone that say NOT_SERVING. Then also `models` and `cache_status` cannot ask
            them why.
    """

    target: str = DEFAULT_TARGET
    tls: Tls | None = None
    caller: str = ""
    timeout: float = 120.0
    stream_timeout: float = 3600.0
    chunk_texts: int = 100
    in_flight: int = 4
    watch_health: bool = False

    def __post_init__(self) -> None:
        if not _SCHEME.match(self.target) and not re.fullmatch(r".+:\d+", self.target):
            raise InvalidSettings(
                f"the target {self.target!r} has no port", remedy="name the worker as HOST:PORT"
            )
        if not re.fullmatch(r"[\x21-\x7e]{0,128}", self.caller):
            raise InvalidSettings(
                f"the caller's name {self.caller!r} cannot travel as metadata",
                remedy="use at most 128 printable ASCII characters without spaces",
            )
        for name, value, most in (
            ("timeout", self.timeout, None),
            ("stream_timeout", self.stream_timeout, None),
            ("chunk_texts", self.chunk_texts, MAX_TEXTS),
            ("in_flight", self.in_flight, None),
        ):
            if not value > 0 or (most is not None and value > most):
                limit = f"from 1 to {most:,}" if most else "greater than 0"
                raise InvalidSettings(f"{name} is {value}", remedy=f"use a number {limit}")

    @property
    def uri(self) -> str:
        """The target as gRPC takes it."""
        return target_uri(self.target)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with every call."""
        return (("x-qda-caller", self.caller),) if self.caller else ()


def target_uri(target: str) -> str:
    """A plain `HOST:PORT` as `dns:///HOST:PORT`, so that all its addresses are found and used; others as they are."""
    return target if _SCHEME.match(target) else f"dns:///{target}"


def channel_options(settings: Settings) -> list[tuple[str, str | int]]:
    """The options of gRPC's channel, sync or async."""
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", f"qda-client/{_version()}"),
        ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        ("grpc.service_config", json.dumps(service_config(watch_health=settings.watch_health))),
        ("grpc.enable_retries", 1),
        # A request larger than this buffer is never retried by gRPC (default: 256 KiB).
        ("grpc.per_rpc_retry_buffer_size", MAX_REQUEST_BYTES + 4096),
        ("grpc.keepalive_time_ms", _KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 0),
        # A worker that was not there is looked for again soon; gRPC would take up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 300),
        ("grpc.max_reconnect_backoff_ms", 3_000),
    ]
    if settings.tls is not None and settings.tls.server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
    return options


def service_config(*, watch_health: bool) -> dict[str, object]:
    """gRPC's service config: every address in turn, four tries of idempotent calls at workers that are UNAVAILABLE."""
    config: dict[str, object] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": service} for service in _IDEMPOTENT],
                "waitForReady": False,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
    if watch_health:
        config["healthCheckConfig"] = {"serviceName": ""}
    return config


def credentials(tls: Tls) -> grpc.ChannelCredentials:
    """The credentials of an encrypted connection.

    Raises:
        InvalidSettings: a file cannot be read, or certificate and key do not belong together.
    """
    if (tls.certificate is None) != (tls.key is None):
        raise InvalidSettings(
            "a client certificate needs its key, and a key its certificate", remedy="name both files, or none"
        )
    ca, certificate, key = _pem(tls.ca), _pem(tls.certificate), _pem(tls.key)
    if tls.certificate is not None and tls.key is not None:
        _check_pair(tls.certificate, tls.key)
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)


def _check_pair(certificate: Path, key: Path) -> None:
    """gRPC itself would only fail to connect."""

    def no_passphrase() -> str:
        raise InvalidSettings(
            f"the key {key} is protected by a passphrase",
            remedy="remove it with: openssl pkey -in KEY -out NEW_KEY",
        )

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, no_passphrase)
    except (ssl.SSLError, OSError) as error:
        raise InvalidSettings(
            f"the certificate {certificate} and the key {key} do not belong together, or are damaged",
            remedy="name the two files that were issued together",
        ) from error


def _pem(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidSettings(
            f"{path} cannot be read: {error.strerror}", remedy="name a readable file in PEM form"
        ) from error
    if b"-----BEGIN " not in content:
        raise InvalidSettings(f"{path} is not in PEM form", remedy="convert it with openssl")
    return content


def _version() -> str:
    try:
        return version("qda-worker")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
