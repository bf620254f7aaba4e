"""The HTTP client of the warmer: the hub library's, with our retries, our timeouts and a token that stays home.

It is installed as the hub library's own session, so that listings and bodies behave alike: proxies, the CA
bundle and the mirror come from the usual variables. The library itself would retry without jitter, has no
timeout for listings, and sends its token to wherever a page link points.

A module of its own because it imports httpx2, which light commands do without.
"""

from typing import Any, Final

import httpcore2
import httpx2

from cache_warmer.hub import errors
from cache_warmer.hub.retry import Retry, retry_after

_CONNECT_SECONDS: Final = 15.0
# Taken from a socket at once. The library's own 64 KiB cost half as much work again for each byte of a
# body.
READ_BYTES: Final = 1 << 18
# Extension of a request: whether a failure is raised at once, because the caller has another address to
# try.
ONE_TRY: Final = "one_try"


class RetryingClient(httpx2.Client):
    """Sends a request until it is answered; for requests without a body only.

    Raises errors of ours (`HubError`), which the hub library passes on untouched. An answer of another
    status than 408, 425, 429 and 5xx is returned, whatever it says.
    """

    def __init__(self, endpoint: str, retry: Retry, stall_timeout: float, **options: Any) -> None:
        self._home = httpx2.URL(endpoint)
        self._retry = retry
        timeout = httpx2.Timeout(stall_timeout, connect=min(_CONNECT_SECONDS, stall_timeout))
        self._limits_in_time = timeout.as_dict()
        httpcore2.HTTP11Connection.READ_NUM_BYTES = READ_BYTES  # the one place where it can be said
        super().__init__(
            event_hooks={"request": [self._keep_token_home]},
            follow_redirects=True,
            timeout=timeout,
            **options,
        )

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send, and send again. Raises `HubBusy`, `HubUnreachable`, `HubUntrusted`, `HubStalled`."""
        request.extensions["timeout"] = self._limits_in_time  # the hub library asks for none at all
        label = request.extensions.get("label") or "the hub"  # the library's own requests
        attempts = 1 if request.extensions.get(ONE_TRY) else self._retry.attempts
        failures = 0
        while True:
            asked: float | None = None
            try:
                response = super().send(request, **options)
            except httpx2.RequestError as error:
                failures += 1
                if failures >= attempts or not errors.can_retry(error):
                    raise _ours(error, label) from error
            else:
                if not errors.is_busy(response.status_code):
                    return response
                failures += 1
                response.close()
                asked = retry_after(response.headers.get("Retry-After"), self._retry.now())
                if failures >= attempts:
                    raise errors.busy(response, label, asked)
                if asked is not None and asked > self._retry.patience:
                    raise errors.waits_too_long(label, asked)
            self._retry.sleep(max(self._retry.delay(failures), asked or 0.0))

    def _keep_token_home(self, request: httpx2.Request) -> None:
        """Drop the token from every request to another host, redirect or page link alike."""
        if not _at_home(request.url, self._home):
            request.headers.pop("Authorization", None)


def _at_home(url: httpx2.URL, home: httpx2.URL) -> bool:
    upgraded = home.scheme == "http" and url.scheme == "https" and url.port is home.port is None
    return url.host == home.host and (upgraded or (url.scheme == home.scheme and url.port == home.port))


def _ours(error: httpx2.RequestError, label: str) -> Exception:
    return errors.of_exception(error, label) or error
