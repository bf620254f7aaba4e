"""The one table from what the hub client and the HTTP library raise, or a server answers, to our errors."""

import ssl
from typing import Final

import httpx2
from huggingface_hub import errors as client

from cache_warmer.errors import (
    HubBusy,
    HubError,
    HubNotFound,
    HubStalled,
    HubUnauthorized,
    HubUnreachable,
    HubUntrusted,
)
from cache_warmer.hub.urls import redacted

_BUSY: Final = frozenset({408, 425, 429})
_ACCESS: Final = (
    "set HF_TOKEN to a token that may read it (accept the licence on the model's page if it is gated), "
    "or correct the name"
)
_NAME: Final = "compare repository, revision and file names in the catalog with the hub"
_REACH: Final = "check the address (--hub, HF_ENDPOINT), the network and HTTPS_PROXY / NO_PROXY"
_LATER: Final = "run the same command again later: it goes on from what is there"
_TRUST: Final = "give the CA bundle that signed it in SSL_CERT_FILE, or correct the clock of this machine"
_STALL: Final = "check the network or raise --stall-timeout; the next run goes on from the staged bytes"


def is_busy(status: int) -> bool:
    """Return whether the same request may succeed later."""
    return status in _BUSY or status >= 500


def of_status(response: httpx2.Response, label: str) -> HubError:
    """Return the error that a refusing answer stands for; `label` says what was asked for."""
    status, url = response.status_code, redacted(str(response.request.url))
    code = response.headers.get("X-Error-Code", "")
    said = f"{label}: {status} from {url}" + (f" ({code})" if code else "")
    if status in (401, 403):
        return HubUnauthorized(said, _ACCESS)
    if status in (404, 410):
        return HubNotFound(_not_found(code, said), _NAME)
    if is_busy(status):
        return HubBusy(said, _LATER)
    if status == 407:
        return HubUnreachable(f"{label}: the proxy wants a password (407)", _REACH)
    return HubUnreachable(f"{said}, which no hub answers", _REACH)


def busy(response: httpx2.Response, label: str, retry_after: float | None) -> HubError:
    """Return the error for an answer that says to come back, and after how many seconds if it says so."""
    error = of_status(response, label)
    if isinstance(error, HubBusy):
        error.retry_after = retry_after
    return error


def of_exception(error: Exception, label: str) -> HubError | None:
    """Return the error of ours for one of the hub client or HTTP library; None if it is none of theirs."""
    if isinstance(error, client.HfHubHTTPError):
        return of_status(error.response, label)
    if isinstance(error, httpx2.TooManyRedirects):
        return HubUnreachable(f"{label}: redirected in a circle", _REACH)
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return HubUnreachable(f"{label}: no connection in time to {_host(error)}", _REACH)
    if isinstance(error, httpx2.TimeoutException):
        return HubStalled(f"{label}: no byte in time from {_host(error)}", _STALL)
    if isinstance(error, httpx2.RequestError | client.OfflineModeIsEnabled):
        return _connection(error, label)
    if isinstance(error, httpx2.InvalidURL):
        return HubUnreachable(f"{label}: the address cannot be used ({error})", _REACH)
    if isinstance(error, ValueError | KeyError | TypeError | AttributeError):
        # the client parses what it is sent: a page instead of JSON, JSON of another shape
        return HubUnreachable(f"{label}: the answer is not a hub's ({type(error).__name__})", _REACH)
    return None


def can_retry(error: Exception) -> bool:
    """Return whether the same request may succeed if it is sent again."""
    if isinstance(error, httpx2.TimeoutException | httpx2.NetworkError | httpx2.RemoteProtocolError):
        return _certificate(error) is None
    return isinstance(error, httpx2.ProxyError)


def page(label: str, url: str) -> HubUnreachable:
    """Return the error for a page of HTML where a file was asked for."""
    return HubUnreachable(f"{label}: {redacted(url)} answered with a page instead of the file", _REACH)


def waits_too_long(label: str, seconds: float) -> HubBusy:
    """Return the error for a `Retry-After` beyond our patience."""
    return HubBusy(f"{label}: the hub asks to wait {seconds:.0f} s", _LATER)


def _connection(error: Exception, label: str) -> HubError:
    untrusted = _certificate(error)
    if untrusted is not None:
        return HubUntrusted(f"{label}: {_host(error)}: {untrusted}", _TRUST)
    return HubUnreachable(f"{label}: {_host(error)}: {_cause(error)}", _REACH)


def _certificate(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"certificate not trusted ({error.verify_message})"
        error = error.__cause__ or error.__context__
    return None


def _cause(error: BaseException) -> str:
    """Return the innermost message: the system's own words (refused, name not known)."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.partition("\n")[0][:200] or type(error).__name__


def _host(error: Exception) -> str:
    try:
        return redacted(str(error.request.url))  # type: ignore[attr-defined]  # of httpx2.RequestError only
    except (AttributeError, RuntimeError):  # raised before there was a request
        return "the hub"


def _not_found(code: str, said: str) -> str:
    what = {"RepoNotFound": "no such repository", "RevisionNotFound": "no such revision"}.get(code)
    return f"{said}: {what}" if what else said
