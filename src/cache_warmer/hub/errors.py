"""Mapping from failures of the hub library, the HTTP client and HTTP responses to our errors and their remedies.

The only such table: all code that talks to a hub raises what these functions return. `label` names what was requested
(`org/name: config.json`) and begins the message. URLs are shown without user, password and query.
"""

import ssl
from typing import Final

import httpx2
from huggingface_hub import errors as library_errors

from cache_warmer.errors import (
    HubBusy,
    HubError,
    HubNotFound,
    HubStalled,
    HubUnauthorized,
    HubUnreachable,
    HubUntrusted,
)
from model_cache.urls import redacted

# 408 Request Timeout, 425 Too Early, 429 Too Many Requests.
_BUSY_STATUSES: Final = frozenset({408, 425, 429})
# Characters of the operating system's message that ours quotes.
_MAX_CAUSE: Final = 200
# Remedies.
_CHECK_ACCESS: Final = (
    "set HF_TOKEN (in the chart hub.tokenSecret) to a token that may read it (accept the licence on the model's page "
    "if it is gated), or correct the name"
)
_CHECK_NAMES: Final = "compare repository, revision and file names in the catalog with the hub"
_CHECK_NETWORK: Final = (
    "check the address (--hub, HF_ENDPOINT), the network and HTTPS_PROXY / NO_PROXY "
    "(in the chart hub.endpoint, hub.proxy)"
)
_RUN_LATER: Final = "run the same command again later: it resumes from the staged bytes"
_CHECK_CERTIFICATES: Final = (
    "give the certificate of its authority in --ca-bundle (QDA_CA_BUNDLE; in the chart hub.caBundle) or SSL_CERT_FILE, "
    "or correct the clock of this machine"
)
_CHECK_SPEED: Final = (
    "check the network or raise --stall-timeout (in the chart cacheWarmer.stallTimeout); "
    "the next run resumes from the staged bytes"
)


def from_status(response: httpx2.Response, label: str) -> HubError:
    """Return the error for a response with an error status."""
    status, url = response.status_code, redacted(str(response.request.url))
    code = response.headers.get("X-Error-Code", "")
    message = f"{label}: {status} from {url}" + (f" ({code[:_MAX_CAUSE]})" if code else "")
    if status in (401, 403):
        return HubUnauthorized(message, _CHECK_ACCESS)
    if status in (404, 410):
        return HubNotFound(_not_found_message(code, message), _CHECK_NAMES)
    if is_busy(status):
        return HubBusy(message, _RUN_LATER)
    if status == 407:
        return HubUnreachable(f"{label}: the proxy requires a password (407)", _CHECK_NETWORK)
    return HubUnreachable(f"{message}, which is not a status of a hub", _CHECK_NETWORK)


def from_busy_response(response: httpx2.Response, label: str, retry_after: float | None) -> HubError:
    """Return the error for a response that asks to try later; `retry_after` in seconds, None if it names no time."""
    error = from_status(response, label)
    if isinstance(error, HubBusy):
        error.retry_after = retry_after
    return error


def from_exception(error: Exception, label: str) -> HubError | None:
    """Return the error for an exception of the hub library or the HTTP client; None for any other exception."""
    if isinstance(error, library_errors.HfHubHTTPError):
        return from_status(error.response, label)
    if isinstance(error, httpx2.TooManyRedirects):
        return HubUnreachable(f"{label}: too many redirects", _CHECK_NETWORK)
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return HubUnreachable(f"{label}: timed out connecting to {_url_of(error)}", _CHECK_NETWORK)
    if isinstance(error, httpx2.TimeoutException):
        return HubStalled(f"{label}: timed out waiting for data from {_url_of(error)}", _CHECK_SPEED)
    if isinstance(error, httpx2.RequestError | library_errors.OfflineModeIsEnabled):
        return _connection_error(error, label)
    if isinstance(error, httpx2.InvalidURL):  # without its text, which quotes a part of the address
        return HubUnreachable(f"{label}: the address cannot be used", _CHECK_NETWORK)
    if isinstance(error, ValueError | KeyError | TypeError | AttributeError):
        # the library parses without checks: HTML instead of JSON, or JSON of another shape
        return HubUnreachable(
            f"{label}: the response is not a hub's ({type(error).__name__})", _CHECK_NETWORK
        )
    return None


def html_page(label: str, url: str) -> HubUnreachable:
    """Return the error for an HTML page where a file was requested."""
    return HubUnreachable(f"{label}: {redacted(url)} sent an HTML page instead of the file", _CHECK_NETWORK)


def useless_responses(label: str, url: str, count: int) -> HubUnreachable:
    """Return the error for responses that are never what was requested, however often that is repeated."""
    return HubUnreachable(
        f"{label}: {redacted(url)} sent {count} responses that are not the requested bytes", _CHECK_NETWORK
    )


def endless_listing(requests: int) -> HubUnreachable:
    """Return the error for a listing that names a next page again and again."""
    return HubUnreachable(f"the listing has no end after {requests} pages", _CHECK_NETWORK)


def retry_after_too_long(label: str, seconds: float) -> HubBusy:
    """Return the error for a wait that is longer than the longest one that is waited for."""
    return HubBusy(f"{label}: the hub asks to wait {seconds:.0f} s", _RUN_LATER)


def is_busy(status: int) -> bool:
    """Return whether the same request may succeed later."""
    return status in _BUSY_STATUSES or status >= 500


def is_retryable(error: Exception) -> bool:
    """Return whether the same request may succeed if it is sent again now."""
    if isinstance(error, httpx2.TimeoutException | httpx2.NetworkError | httpx2.RemoteProtocolError):
        return _certificate_error(error) is None
    return isinstance(error, httpx2.ProxyError)


def _connection_error(error: Exception, label: str) -> HubError:
    certificate_error = _certificate_error(error)
    if certificate_error is not None:
        return HubUntrusted(f"{label}: {_url_of(error)}: {certificate_error}", _CHECK_CERTIFICATES)
    return HubUnreachable(f"{label}: {_url_of(error)}: {_root_cause(error)}", _CHECK_NETWORK)


def _certificate_error(error: BaseException | None) -> str | None:
    """Return the message of a failed certificate check among the causes of an error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"certificate not trusted ({error.verify_message})"
        error = error.__cause__ or error.__context__
    return None


def _root_cause(error: BaseException) -> str:
    """Return the innermost message: that of the operating system, such as "Connection refused"."""
    if isinstance(error, httpx2.LocalProtocolError):  # its text quotes the header, which may be the token
        return "the request cannot be sent: one of its headers, perhaps the token, has a character that is not allowed"
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.partition("\n")[0][:_MAX_CAUSE] or type(error).__name__


def _url_of(error: Exception) -> str:
    try:
        return redacted(str(error.request.url))  # type: ignore[attr-defined]  # of httpx2.RequestError only
    except (AttributeError, RuntimeError):  # raised before there was a request
        return "the hub"


def _not_found_message(code: str, message: str) -> str:
    what = {"RepoNotFound": "no such repository", "RevisionNotFound": "no such revision"}.get(code)
    return f"{message}: {what}" if what else message
