"""The connection to the hub: its settings, which are checked without a request, and, if asked for, the hub itself.

Online, two requests are sent: one for a commit of the catalog, which shows name, proxy, certificate and access, and one
for the owner of the token, whose response also tells the time. Neither token nor owner is shown.
"""

import stat
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cache_warmer.doctor.diagnosis import Finding, Severity, from_error
from cache_warmer.doctor.machine import CLOCK_SECONDS, clock_finding
from cache_warmer.doctor.variables import expand_home
from cache_warmer.errors import HubError
from cache_warmer.hub.client import HubConnection, connect
from cache_warmer.hub.environment import (
    PROXY_SCHEMES,
    PROXY_VARIABLES,
    TOKEN_VARIABLES,
    clean_token_file,
    clean_tokens,
)
from cache_warmer.hub.retry import Retry
from model_cache.catalog.catalog import HuggingFaceSource
from model_cache.cli.options import offline_variables
from model_cache.errors import ModelCacheError, UsageError
from model_cache.reasons import Reason
from model_cache.urls import redacted

_DEFAULT_ENDPOINT: Final = "https://huggingface.co"
# A person waits for the result.
_RETRY: Final = Retry(attempts=2, first=0.2, max_delay=1.0, max_retry_after=5.0)
_STALL_SECONDS: Final = 15.0

Connect = Callable[..., HubConnection]


def token_file(environ: Mapping[str, str], home: Path | None) -> Path | None:
    """Return where the hub client keeps its token; None if there is no home folder."""
    if environ.get("HF_TOKEN_PATH"):
        return expand_home(environ["HF_TOKEN_PATH"])
    if environ.get("HF_HOME"):
        return expand_home(environ["HF_HOME"]) / "token"
    if environ.get("XDG_CACHE_HOME"):
        return expand_home(environ["XDG_CACHE_HOME"]) / "huggingface" / "token"
    return home / ".cache" / "huggingface" / "token" if home is not None else None


def check_settings(
    environ: Mapping[str, str], token: Path | None, ca_bundle: Path | None
) -> Iterator[Finding]:
    """Yield the findings about proxies, certificates and the token, without a request.

    Args:
        environ: the environment.
        token: the hub client's token file; None: there is none.
        ca_bundle: the file of `--ca-bundle`.
    """
    yield from _check_proxies(environ)
    yield from _check_certificates(environ, ca_bundle)
    yield from _check_token(environ, token)


def check_hub(
    environ: MutableMapping[str, str],
    endpoint: str | None,
    source: HuggingFaceSource | None,
    ca_bundle: Path | None,
    open_connection: Connect = connect,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """Yield the findings about the hub, from its responses.

    Args:
        environ: the environment, which `hub.client.connect` completes.
        endpoint: `--hub`; None: the default of the hub client.
        source: a model of the catalog to ask for; None: there is none.
        ca_bundle: the file of `--ca-bundle`.
        open_connection: connects to the hub.
        clock: the clock of this machine.
    """
    if names := offline_variables(environ):
        yield Finding(
            Severity.WARNING,
            "hub",
            Reason.USAGE,
            f"the hub was not asked, because {names[0]} is set",
            f"run it again with `env {' '.join(f'-u {name}' for name in names)}`",
        )
        return
    try:
        connection = open_connection(endpoint, environ, _RETRY, _STALL_SECONDS, ca_bundle)
    except ModelCacheError as error:
        yield from_error(error, "hub")
        return
    endpoint = endpoint or _DEFAULT_ENDPOINT
    if source is not None:
        try:
            connection.hub.resolve_commit(source.repository, source.revision)
        except HubError as error:
            yield from_error(error, "hub")
            if error.reason not in (Reason.HUB_UNAUTHORIZED, Reason.HUB_NOT_FOUND):  # it was not reached
                return
        else:
            yield Finding(
                Severity.NOTE, "hub", Reason.OK, f"{redacted(endpoint)} answers, and has {source.repository}"
            )
    yield from _ask_for_owner(connection, endpoint, clock)


def _ask_for_owner(connection: HubConnection, endpoint: str, clock: Callable[[], float]) -> Iterator[Finding]:
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented there

    headers = build_hf_headers(library_name="qda-cache-warmer")
    has_token = "authorization" in {name.lower() for name in headers}
    try:
        response = connection.http.get(f"{endpoint.rstrip('/')}/api/whoami-v2", headers=headers)
    except HubError as error:
        yield from_error(error, "hub")
        return
    address, status = redacted(endpoint), response.status_code
    if not has_token:
        yield Finding(
            Severity.NOTE, "token", Reason.OK, "there is no token: gated and private models cannot be fetched"
        )
    elif status == 200:
        yield Finding(Severity.NOTE, "token", Reason.OK, f"{address} accepts the token")
    elif status in (401, 403):
        yield Finding(
            Severity.ERROR,
            "token",
            Reason.HUB_UNAUTHORIZED,
            f"{address} does not accept the token ({status})",
            "make a new one at https://huggingface.co/settings/tokens (at a mirror: ask who runs it), or unset it if "
            "no model needs one",
        )
    else:
        yield Finding(
            Severity.NOTE,
            "token",
            Reason.OK,
            f"{address} does not say whether it accepts the token ({status})",
        )
    yield from _check_date(response.headers.get("Date", ""), clock(), address)


def _check_date(date: str, now: float, address: str) -> Iterator[Finding]:
    try:
        hub_time = parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return
    if abs(hub_time - now) > CLOCK_SECONDS:
        yield clock_finding(now, hub_time, f"that of {address}")


def _check_proxies(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name in PROXY_VARIABLES:
        upper, lower = environ.get(name, ""), environ.get(name.lower(), "")
        if upper and lower and upper != lower:
            yield Finding(
                Severity.WARNING,
                "proxy",
                Reason.USAGE,
                f"{name} and {name.lower()} name different proxies: programs differ in which they use",
                "give both the same address, or unset one",
            )
        for variable, value in ((name, upper), (name.lower(), lower)):
            if value and not _is_proxy(value):
                yield Finding(
                    Severity.ERROR,
                    "proxy",
                    Reason.USAGE,
                    f"{variable} is not the address of a proxy",
                    "give http://HOST:PORT (a password in it percent-encoded), or unset the variable",
                )


def _is_proxy(value: str) -> bool:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        return parts.scheme in PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_certificates(environ: Mapping[str, str], ca_bundle: Path | None) -> Iterator[Finding]:
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    if ca_bundle is None and not any(environ.get(name) for name in names):
        return
    try:
        from cache_warmer.hub.certificates import make_tls_context  # here: it imports the HTTP client

        make_tls_context(dict(environ), ca_bundle)
    except ModelCacheError as error:
        yield from_error(error, "certificate")
    except ImportError:  # the hub client is not installed, which is a finding of its own
        return


def _check_token(environ: Mapping[str, str], token: Path | None) -> Iterator[Finding]:
    copy = dict(environ)
    try:
        clean_tokens(copy)
        if token is not None:
            clean_token_file(token, copy)
    except UsageError as error:
        yield from_error(error, "token")
    values = {copy[name] for name in TOKEN_VARIABLES if copy.get(name)}
    if len(values) > 1:
        yield Finding(
            Severity.WARNING,
            "token",
            Reason.USAGE,
            "HF_TOKEN and HUGGING_FACE_HUB_TOKEN hold different tokens: the first is used",
            "unset HUGGING_FACE_HUB_TOKEN",
        )
    if token is not None and (mode := _mode(token)) is not None and mode & 0o077:
        yield Finding(
            Severity.WARNING,
            "token",
            Reason.NO_PERMISSION,
            f"other users may read or change the token in {token} (mode {mode:04o})",
            f"run `chmod 600 {token}`",
        )


def _mode(path: Path) -> int | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return stat.S_IMODE(found.st_mode) if hasattr(found, "st_uid") and stat.S_ISREG(found.st_mode) else None
