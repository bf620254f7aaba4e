"""The options of `qda-worker serve`: their flags and variables, and the frozen value they are read into.

`add_serve_options` declares the options, and `read_serve_settings` reads them once, at start, into `ServeSettings`. A
flag overrides its variable, and a variable overrides the default (`model_cache.cli.options`). Nothing heavy is imported
here: options are read first, so that a wrong one is reported at once.
"""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.cli.options import (
    SharedOptions,
    add_shared_options,
    list_variable,
    offline_variables,
    read_shared_options,
)
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from model_cache.places import HOST
from model_cache.urls import shown_value
from qda_worker.addresses import Address
from qda_worker.cpu import CpuBudget, cpu_budget
from qda_worker.serve_options import (
    ALLOW_CLIENT,
    ALLOW_CLIENTS,
    CALLER_TEXTS,
    CHECK_INTERVAL,
    DEVICE,
    DRAIN_DELAY,
    ENGINE,
    HANG_TIMEOUT,
    HEALTH_LISTEN,
    HTTP_CORS_ORIGIN,
    HTTP_CORS_ORIGINS,
    HTTP_LISTEN,
    HUB,
    LISTEN,
    MAX_CALLER_CALLS,
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
    TLS_CLIENT_CA,
    TLS_KEY,
    TLS_OPTIONS,
    TOKENS,
    WHEEL_BASE,
    Device,
    EngineSetting,
    Readiness,
)

# Engines that cannot compute on a device.
_ENGINES_ELSEWHERE: Final[Mapping[Device, tuple[EngineSetting, ...]]] = {
    Device.CPU: (EngineSetting.CUDA, EngineSetting.CUDA_TF32),
    Device.CUDA: (EngineSetting.OPENVINO,),
}


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
class AccessSettings:
    """Who may call, and how much.

    Attributes:
        tokens: the file of bearer tokens; None: calls need none.
        allowed_clients: the names of client certificates that are accepted; empty: all that the client CA has signed.
        max_caller_calls: the limit of concurrent calls of one caller; None: its share of all calls.
        caller_texts_per_second: the limit of texts of one caller per second; None: no limit.
    """

    tokens: Path | None = None
    allowed_clients: tuple[str, ...] = ()
    max_caller_calls: int | None = None
    caller_texts_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The options of `serve`.

    Attributes:
        shared: catalog, cache, models and log level.
        listen: the address of the gRPC port.
        health_listen: the address of the plain-text health port for probes; None: off.
        metrics_listen: the address of Prometheus metrics over HTTP; None: off.
        http_listen: the address of the HTTP port; None: off.
        http_cors_origins: origins whose pages may call the HTTP port from a browser.
        tls: certificate, key and CA of the gRPC and HTTP ports; None: plain text.
        access: who may call the gRPC and HTTP ports, and how much.
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
        engine: what computes the encoder layers of models.
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
    http_listen: Address | None
    http_cors_origins: tuple[str, ...]
    tls: TlsFiles | None
    access: AccessSettings
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
    LISTEN, HEALTH_LISTEN, METRICS_LISTEN, HTTP_LISTEN, *TLS_OPTIONS, TOKENS, MAX_CALLS, MAX_CALLER_CALLS,
    CALLER_TEXTS, PORT_FILE, READINESS, DRAIN_DELAY, SHUTDOWN_GRACE, MAX_CONNECTION_AGE, CHECK_INTERVAL, HANG_TIMEOUT,
    DEVICE, ENGINE, THREADS, RESULT_CACHE, HUB, WHEEL_BASE, STALL_TIMEOUT,
)  # fmt: skip


def add_serve_options(parser: OptionParser) -> None:
    """Add all options of `serve` to a parser."""
    add_shared_options(parser)
    for option in _SERVE_OPTIONS:
        option.add_to(parser)
    parser.add_argument(
        ALLOW_CLIENT,
        action="append",
        default=None,
        metavar="NAME",
        help="DNS name, URI or common name of client certificates to accept, with --tls-client-ca; may be repeated "
        f"(default: all that the CA signed; variable: {ALLOW_CLIENTS}, separated by commas)",
    )
    parser.add_argument(
        "--reflection",
        action=argparse.BooleanOptionalAction,
        default=None,
        help=f"serve gRPC server reflection (default: yes; variable: {REFLECTION})",
    )
    parser.add_argument(
        HTTP_CORS_ORIGIN,
        action="append",
        metavar="ORIGIN",
        help="origin whose pages may call the HTTP port from a browser, as https://qda.example.org, or * for any; may "
        f"be repeated (default: none; variable: {HTTP_CORS_ORIGINS}, origins separated by commas)",
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
    tls = _read_tls_files(arguments, environ)
    device, engine = DEVICE.value(arguments, environ), ENGINE.value(arguments, environ)
    if engine in _ENGINES_ELSEWHERE.get(device, ()):
        raise UsageError(
            f"the engine {engine} does not compute on the device {device}: {ENGINE.flag} ({ENGINE.variable}), "
            f"{DEVICE.flag} ({DEVICE.variable})",
            "leave one of the two out, or set it to auto",
        )
    return ServeSettings(
        shared=shared,
        listen=LISTEN.value(arguments, environ),
        health_listen=HEALTH_LISTEN.value(arguments, environ),
        metrics_listen=METRICS_LISTEN.value(arguments, environ),
        http_listen=HTTP_LISTEN.value(arguments, environ),
        http_cors_origins=_read_origins(arguments.http_cors_origin, environ),
        tls=tls,
        access=_read_access(arguments, environ, tls),
        reflection=_read_reflection(arguments.reflection, environ),
        max_calls=MAX_CALLS.value(arguments, environ),
        port_file=PORT_FILE.value(arguments, environ),
        readiness=READINESS.value(arguments, environ),
        drain_delay=DRAIN_DELAY.value(arguments, environ),
        shutdown_grace=SHUTDOWN_GRACE.value(arguments, environ),
        max_connection_age=MAX_CONNECTION_AGE.value(arguments, environ),
        check_interval=CHECK_INTERVAL.value(arguments, environ),
        hang_timeout=HANG_TIMEOUT.value(arguments, environ),
        device=device,
        engine=engine,
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


def _read_origins(given: list[str] | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    where = HTTP_CORS_ORIGINS if given is None else HTTP_CORS_ORIGIN
    texts = list_variable(environ, HTTP_CORS_ORIGINS) if given is None else given
    origins = tuple(text.strip() for text in texts if text.strip())
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\s@]+", origin):
            raise UsageError(
                f'{where}: found "{shown_value(origin)[:200]}"',
                "give an origin as the browser sends it, without a path: https://qda.example.org, or *",
            )
    return origins


def _read_access(
    arguments: argparse.Namespace, environ: Mapping[str, str], tls: TlsFiles | None
) -> AccessSettings:
    given: list[str] = arguments.allow_client or list_variable(environ, ALLOW_CLIENTS)
    allowed = tuple(dict.fromkeys(filter(None, map(str.strip, given))))
    if allowed and (tls is None or tls.client_ca is None):
        raise UsageError(
            f"{ALLOW_CLIENT} ({ALLOW_CLIENTS}) is given without {TLS_CLIENT_CA.flag}: no client presents a certificate",
            f"give {TLS_CLIENT_CA.flag} FILE, or leave out the names",
        )
    return AccessSettings(
        tokens=TOKENS.value(arguments, environ),
        allowed_clients=allowed,
        max_caller_calls=MAX_CALLER_CALLS.value(arguments, environ),
        caller_texts_per_second=CALLER_TEXTS.value(arguments, environ),
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
