"""The options of `qda-worker serve`: their flags and variables, and the frozen value they are read into.

`add_serve_options` declares the options, and `read_serve_settings` reads them once, at start, into `ServeSettings`. A
flag overrides its variable, and a variable overrides the default (`model_cache.cli.options`). Nothing heavy is imported
here: options are read first, so that a wrong one is reported at once.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.cli.options import (
    SharedOptions,
    add_shared_options,
    offline_variables,
    read_shared_options,
)
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from model_cache.places import HOST
from qda_worker.addresses import Address
from qda_worker.cpu import CpuBudget, cpu_budget
from qda_worker.serve_options import (
    CHECK_INTERVAL,
    DEVICE,
    DRAIN_DELAY,
    ENGINE,
    HANG_TIMEOUT,
    HEALTH_LISTEN,
    HUB,
    LISTEN,
    MAX_CALLS,
    MAX_CONNECTION_AGE,
    METRICS_LISTEN,
    PORT_FILE,
    READINESS,
    REFLECTION,
    RESULT_CACHE,
    SHUTDOWN_GRACE,
    STALL_TIMEOUT,
    THREADS,
    TLS_CERT,
    TLS_KEY,
    TLS_OPTIONS,
    WHEEL_BASE,
    Device,
    EngineSetting,
    Readiness,
)


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
        engine: what computes the encoder layers of models on the CPU.
        cpu: the CPUs of this process, and the number of threads that follows from them.
        result_cache: the limit of the result cache, in bytes; None: no cache.
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
    engine: EngineSetting
    cpu: CpuBudget
    result_cache: int | None
    fetch: bool
    hub: str | None
    wheel_base: str | None
    stall_timeout: str | None

    @property
    def on_host(self) -> bool:
        """Whether the cache is this user's own. Then errors that no other program will repair end this one."""
        return self.shared.cache == HOST


_SERVE_OPTIONS: Final = (
    LISTEN, HEALTH_LISTEN, METRICS_LISTEN, *TLS_OPTIONS, MAX_CALLS, PORT_FILE, READINESS, DRAIN_DELAY, SHUTDOWN_GRACE,
    MAX_CONNECTION_AGE, CHECK_INTERVAL, HANG_TIMEOUT, DEVICE, ENGINE, THREADS, RESULT_CACHE, HUB, WHEEL_BASE,
    STALL_TIMEOUT,
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
        engine=ENGINE.value(arguments, environ),
        cpu=cpu_budget(environ, threads=THREADS.value(arguments, environ)),
        result_cache=RESULT_CACHE.value(arguments, environ),
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


def _parse_boolean(text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise ValueError("true or false")
    return values[text.lower()]
