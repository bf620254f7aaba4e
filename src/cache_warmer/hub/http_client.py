"""HTTP client of the warmer: the hub library's client with retries, timeouts, and a token that stays on its host.

`hub.client` installs it as the hub library's session, so that listings and bodies behave alike: proxies, CA bundle and
mirror come from the usual environment variables. The library's own session would retry without jitter, has no timeout
for listings, and sends its token to any host that a page link names.

The client is shared by all threads of the pool. It retries until a response begins; a response that breaks off is
resumed by `transfer.range_requests`.

A module of its own because it imports httpx2, which light commands do without.
"""

from typing import Any, Final

import httpx2

from cache_warmer.hub import errors
from cache_warmer.hub.retry import Retry, retry_after

_CONNECT_SECONDS: Final = 15.0
# Key of the request extension that turns retries off: the caller has another address to try.
ONE_TRY: Final = "one_try"


class RetryingClient(httpx2.Client):
    """HTTP client that retries requests without a body.

    It raises our errors (`HubError`), which the hub library passes on unchanged. A response with another status than
    408, 425, 429 and 5xx is returned as it is.
    """

    def __init__(self, endpoint: str, retry: Retry, stall_timeout: float, **options: Any) -> None:
        """Create the client.

        Args:
            endpoint: address of the hub, the only host that gets the token.
            retry: limits of the retries.
            stall_timeout: seconds without a byte after which a request is aborted.
            options: options of `httpx2.Client`.
        """
        self._endpoint = httpx2.URL(endpoint)
        self._retry = retry
        timeout = httpx2.Timeout(stall_timeout, connect=min(_CONNECT_SECONDS, stall_timeout))
        self._timeouts = timeout.as_dict()
        super().__init__(
            event_hooks={"request": [self._drop_token_for_other_hosts]},
            follow_redirects=True,
            timeout=timeout,
            **options,
        )

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, with retries.

        Raises:
            HubBusy: the server answers 408, 425, 429 or 5xx to the last try, or names a time that is too long.
            HubUnreachable: no connection, or a broken one, at the last try.
            HubUntrusted: the certificate of the server is not trusted.
            HubStalled: no byte for the stall timeout at the last try.
        """
        request.extensions["timeout"] = self._timeouts  # the hub library sets no timeout for listings
        label = request.extensions.get("label") or "the hub"  # the library's own requests have no label
        attempts = 1 if request.extensions.get(ONE_TRY) else self._retry.attempts
        failures = 0
        while True:
            pause: float | None = None
            try:
                response = super().send(request, **options)
            except httpx2.RequestError as error:
                failures += 1
                if failures >= attempts or not errors.is_retryable(error):
                    raise errors.from_exception(error, label) or error from error
            else:
                if not errors.is_busy(response.status_code):
                    return response
                failures += 1
                response.close()
                pause = retry_after(response.headers.get("Retry-After"), self._retry.now())
                if failures >= attempts:
                    raise errors.from_busy_response(response, label, pause)
                if pause is not None and pause > self._retry.max_retry_after:
                    raise errors.retry_after_too_long(label, pause)
            self._retry.sleep(max(self._retry.delay(failures), pause or 0.0))

    def _drop_token_for_other_hosts(self, request: httpx2.Request) -> None:
        """Remove the token from requests to other hosts, whether redirected or linked. Hook of every request."""
        if not _is_same_host(request.url, self._endpoint):
            request.headers.pop("Authorization", None)


def _is_same_host(url: httpx2.URL, endpoint: httpx2.URL) -> bool:
    """Return whether a URL has the endpoint's scheme, host and port; an upgrade from HTTP to HTTPS counts."""
    upgraded = endpoint.scheme == "http" and url.scheme == "https" and url.port is endpoint.port is None
    same_origin = url.scheme == endpoint.scheme and url.port == endpoint.port
    return url.host == endpoint.host and (upgraded or same_origin)
