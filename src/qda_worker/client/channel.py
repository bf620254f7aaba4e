"""The client's settings and the gRPC channel that they describe.

gRPC itself does what needs several workers: it resolves all addresses of the target, sends requests to them in turn
(`round_robin`) and retries unary calls that end with UNAVAILABLE, a few times within a second, on another worker.
Longer waits are the subject of `retry`. Both transports create their channel from these options.
"""

import json
import re
import ssl
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import grpc

from model_cache.urls import without_passwords
from qda_worker.client.errors import InvalidSettings
from qda_worker.client.proxy import is_local
from qda_worker.limits import BEARER_TOKEN, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MAX_TEXTS

# The address at which `qda-worker serve` listens by default.
DEFAULT_TARGET: Final = "127.0.0.1:50051"

# Seconds between keepalive pings while a call waits, and until a ping without an answer ends the connection. A worker
# that vanishes without closing its connections (its node fails, or it hangs) is noticed after their sum. Workers accept
# one ping every 10 seconds (limits.MIN_PING_SECONDS; a test compares them).
_KEEPALIVE_SECONDS: Final = 20
_KEEPALIVE_TIMEOUT_SECONDS: Final = 10

# Seconds between two resolutions of the target's name, when connections end or fail. gRPC's default is 30, in which
# a rollout may replace every worker that it knows.
_RESOLUTION_SECONDS: Final = 2

# The schemes of targets that gRPC can resolve.
_SCHEMES: Final = frozenset({"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds", "google-c2p"})
# A gRPC target with a scheme, `dns:///host:1` for instance; `host:1` alone has only a port after the colon.
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:(?!\d+$)")

# `host:1/`, as a URL without its scheme.
_WITH_PATH: Final = re.compile(r"([^/:]+|\[[^/\]]*\]):\d+[/?#].*", re.DOTALL)

# The remedy of a token that does not match `BEARER_TOKEN`.
_BEARER_FORM: Final = "give the token alone: ASCII letters, digits and . _ ~ + / -, without name and quotes"

# Services whose calls gRPC may retry. AnalysisService is not one of them: gRPC could only repeat a stream from its
# start, whereas the client continues it with the first document that has no result.
_RETRYABLE_SERVICES: Final = [
    "qda.v1.SentimentService",
    "qda.v1.EntityService",
    "qda.v1.SyntaxService",
    "qda.v1.EmbeddingService",
    "qda.v1.ParaphraseService",
    "qda.v1.ModelService",
]


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM format for a TLS connection.

    Attributes:
        ca: certificates of the authorities that sign the workers' certificates; None: the authorities that gRPC
            includes.
        certificate: this client's certificate, for workers that require mutual TLS; needs `key`.
        key: the private key of `certificate`.
        server_name: the name in the worker's certificate, if it differs from the target's.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a client, valid for all its calls.

    Attributes:
        target: `HOST:PORT` (all addresses of the name are used in turn), or any gRPC target: `ipv4:…,…`, `unix:…`.
        tls: None for plain text.
        caller: the name of this caller in the worker's log and for its fair scheduling (metadata `x-qda-caller`);
            empty: the worker uses the client's address.
        token: bearer token, for workers that require one; it is in no message and no `repr`.
        token_file: file with the token instead, read again for each call, so that it can be replaced.
        plaintext_token: send the token without TLS to another machine, where everybody on the way can read it. Without
            this, such settings are refused.
        timeout: deadline of one request in seconds, including retries. A long list is sent as several requests.
        stream_timeout: deadline of one stream in seconds (`find_paraphrases`, `analyze`, `embed_stream`). `analyze`
            and `embed_stream` open further streams as needed.
        chunk_texts: texts in one request, at most 10,000. More are not faster: the worker forms its own batches.
        in_flight: number of concurrent requests of one list.
        watch_health: send nothing to workers whose health is NOT_SERVING. Then `models` and `cache_status` cannot
            reach them either.

    Raises:
        InvalidSettings: when a value is out of its range.
    """

    target: str = DEFAULT_TARGET
    tls: Tls | None = None
    caller: str = ""
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    plaintext_token: bool = False
    timeout: float = 120.0
    stream_timeout: float = 3600.0
    chunk_texts: int = 100
    in_flight: int = 4
    watch_health: bool = False

    def __post_init__(self) -> None:
        scheme = self.target.partition(":")[0].lower()
        if scheme not in _SCHEMES and _WITH_PATH.fullmatch(self.target):
            raise InvalidSettings(
                f"the target {without_passwords(self.target)!r} has a path after its port",
                remedy="give the worker's address as HOST:PORT alone",
            )
        if not _SCHEME.match(self.target) and not re.fullmatch(r".+:\d+", self.target):
            raise InvalidSettings(
                f"the target {self.target!r} has no port", remedy="give the worker's address as HOST:PORT"
            )
        if _SCHEME.match(self.target) and scheme not in _SCHEMES:
            raise InvalidSettings(
                f"the target {without_passwords(self.target)!r} begins with {scheme}:, which is no target of gRPC",
                remedy="give the worker's address as HOST:PORT; TLS is a setting of its own (`--tls`, `tls`)",
            )
        if not re.fullmatch(r"[\x21-\x7e]{0,128}", self.caller):
            raise InvalidSettings(
                f"the caller's name {self.caller!r} cannot be sent as metadata",
                remedy="use at most 128 printable ASCII characters without spaces",
            )
        self._check_token()
        for name, value, maximum in (
            ("timeout", self.timeout, None),
            ("stream_timeout", self.stream_timeout, None),
            ("chunk_texts", self.chunk_texts, MAX_TEXTS),
            ("in_flight", self.in_flight, None),
        ):
            if not value > 0 or (maximum is not None and value > maximum):
                allowed = f"from 1 to {maximum:,}" if maximum else "greater than 0"
                raise InvalidSettings(f"{name} is {value}", remedy=f"use a number {allowed}")

    @property
    def uri(self) -> str:
        """The target as a gRPC URI."""
        return target_uri(self.target)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call.

        Raises:
            InvalidSettings: when the file of the token cannot be used.
        """
        token = self.token if self.token_file is None else _read_token(self.token_file)
        caller = (("x-qda-caller", self.caller),) if self.caller else ()
        return (*caller, ("authorization", f"Bearer {token}")) if token else caller

    def _check_token(self) -> None:
        if not self.token and self.token_file is None:
            return
        if self.token and self.token_file is not None:
            raise InvalidSettings("both a token and a file with a token are given", remedy="give one of them")
        if self.token and not BEARER_TOKEN.fullmatch(self.token):
            raise InvalidSettings("the token has characters that metadata cannot carry", remedy=_BEARER_FORM)
        if self.tls is None and not self.plaintext_token and not is_local(self.uri):
            raise InvalidSettings(
                f"the token would be sent to {self.target} in plain text",
                remedy="use TLS (`--tls-ca FILE`, `Tls(ca=…)`); if the network itself encrypts, as a mesh does, give "
                "`--plaintext-token`, `plaintext_token=True`",
            )


def target_uri(target: str) -> str:
    """Return `HOST:PORT` as `dns:///HOST:PORT`, so that gRPC uses all its addresses; other targets unchanged."""
    return target if _SCHEME.match(target) else f"dns:///{target}"


def channel_options(settings: Settings) -> list[tuple[str, str | int]]:
    """Return the options of the gRPC channel, sync or async."""
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", f"qda-client/{_version()}"),
        ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        ("grpc.service_config", json.dumps(service_config(watch_health=settings.watch_health))),
        ("grpc.enable_retries", 1),
        # gRPC never retries a request that is larger than this buffer (default: 256 KiB).
        ("grpc.per_rpc_retry_buffer_size", MAX_REQUEST_BYTES + 4096),
        ("grpc.keepalive_time_ms", _KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 0),
        # gRPC's default stops after two pings in a call that neither side sends data for; 0: no limit.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.dns_min_time_between_resolutions_ms", _RESOLUTION_SECONDS * 1000),
        # Milliseconds between connection attempts. gRPC's default maximum is two minutes, longer than a restart.
        ("grpc.initial_reconnect_backoff_ms", 300),
        ("grpc.max_reconnect_backoff_ms", 3_000),
    ]
    if is_local(settings.uri):
        # A proxy of the environment cannot reach a loopback address or a socket file of this machine.
        options.append(("grpc.enable_http_proxy", 0))
    if settings.tls is not None and settings.tls.server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
    return options


def service_config(*, watch_health: bool) -> dict[str, object]:
    """Return gRPC's service config: round robin, and at most four attempts of calls that end with UNAVAILABLE.

    See https://github.com/grpc/grpc/blob/master/doc/service_config.md.
    """
    config: dict[str, object] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{"service": service} for service in _RETRYABLE_SERVICES],
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
    """Return the channel credentials for TLS.

    Raises:
        InvalidSettings: when a file cannot be read, or certificate and key do not match.
    """
    if (tls.certificate is None) != (tls.key is None):
        raise InvalidSettings(
            "a client certificate needs its key, and a key its certificate",
            remedy="give both files, or neither",
        )
    ca, certificate, key = _read_pem(tls.ca), _read_pem(tls.certificate), _read_pem(tls.key)
    if tls.certificate is not None and tls.key is not None:
        _check_pair(tls.certificate, tls.key)
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)


def _check_pair(certificate: Path, key: Path) -> None:
    """Raise InvalidSettings unless certificate and key match; gRPC itself would only fail to connect."""

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
            remedy="give the two files that were issued together",
        ) from error


def _read_token(path: Path) -> str:
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidSettings(
            f"the token {path} cannot be read: {cause}", remedy="give a readable file with the token alone"
        ) from error
    if not BEARER_TOKEN.fullmatch(token):
        raise InvalidSettings(f"{path} does not hold one token", remedy=_BEARER_FORM)
    return token


def _read_pem(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidSettings(
            f"{path} cannot be read: {error.strerror}", remedy="give a readable file in PEM format"
        ) from error
    if b"-----BEGIN " not in content:
        raise InvalidSettings(f"{path} is not in PEM format", remedy="convert it with openssl")
    return content


def _version() -> str:
    try:
        return version("qda-worker")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"
