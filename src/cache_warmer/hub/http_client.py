"""HTTP client of the warmer: the hub library's client with retries, timeouts, and a token that stays on its host.

`hub.client` installs it as the hub library's session, so that listings and bodies behave alike: proxies, CA bundle and
mirror come from the usual environment variables. The library's own session would retry without jitter, has no timeout
for listings, and sends its token to any host that a page link names.

The client is shared by all threads of the pool. It retries until a response begins; a response that breaks off is
resumed by `transfer.range_requests`. If a host asks one connection to wait, all connections to it do.

A module of its own because it imports httpx2, which light commands do without.
"""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx2

from cache_warmer.hub import errors
from cache_warmer.hub.retry import Retry, SharedPauses, requested_wait
from cache_warmer.hub.tls_stream import install

_CONNECT_SECONDS: Final = 15.0
# Pages of a listing: the hub sends a thousand files a page, and allows some hundred thousand files in a repository.
_MAX_PAGES: Final = 1000
# Key of the request extension that turns retries off: the caller has another address to try.
ONE_TRY: Final = "one_try"


class RetryingClient(httpx2.Client):
    """HTTP client that retries requests without a body.

    It raises our errors (`HubError`), which the hub library passes on unchanged. A response with another status than
    408, 425, 429 and 5xx is returned as it is.
    """

    def __init__(
        self,
        endpoint: str,
        retry: Retry,
        stall_timeout: float,
        tls: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        """Create the client.

        Args:
            endpoint: address of the hub, the only host that gets the token.
            retry: limits of the retries.
            stall_timeout: seconds without a byte after which a request is aborted.
            tls: the authorities to trust, also for a proxy; None: those of the HTTP client.
            options: options of `httpx2.Client`.
        """
        self._endpoint = httpx2.URL(endpoint)
        self._retry, self._pauses = retry, SharedPauses(retry)
        # Pages that the present thread's listing may still request; see `limit_pages`.
        self._pages = threading.local()
        timeout = httpx2.Timeout(stall_timeout, connect=min(_CONNECT_SECONDS, stall_timeout))
        self._timeouts = timeout.as_dict()
        super().__init__(
            event_hooks={"request": [self._drop_token_for_other_hosts]},
            follow_redirects=True,
            timeout=timeout,
            verify=tls or True,
            **options,
        )

    def _init_proxy_transport(
        self, proxy: httpx2.Proxy, *arguments: Any, **options: Any
    ) -> httpx2.BaseTransport:
        """Use the same context for the connection to a proxy over TLS. The library would use its default there."""
        context = options.get("verify")
        if proxy.url.scheme == "https" and isinstance(context, ssl.SSLContext):
            proxy.ssl_context = context
        transport = super()._init_proxy_transport(proxy, *arguments, **options)
        return install(transport) if proxy.url.scheme == "http" else transport

    def _init_transport(self, *arguments: Any, **options: Any) -> httpx2.BaseTransport:
        return install(super()._init_transport(*arguments, **options))

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request, with retries.

        Raises:
            HubBusy: the server answers 408, 425, 429 or 5xx to the last try, or names a time that is too long.
            HubUnreachable: no connection, or a broken one, at the last try; a listing that does not end.
            HubUntrusted: the certificate of the server is not trusted.
            HubStalled: no byte for the stall timeout at the last try.
        """
        request.extensions["timeout"] = self._timeouts  # the hub library sets no timeout for listings
        label = request.extensions.get("label") or "the hub"  # the library's own requests have no label
        attempts = 1 if request.extensions.get(ONE_TRY) else self._retry.attempts
        self._count_page()
        failures, pause = 0, 0.0
        while True:
            self._pauses.wait(request.url.host, pause)
            requested: float | None = None
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
                requested = requested_wait(response.headers, self._retry.now())
                if requested is not None and requested <= self._retry.max_retry_after:
                    # also the host that redirected here: it would redirect to the same one again
                    for host in {request.url.host, response.url.host}:
                        self._pauses.extend(host, requested)
                if failures >= attempts:
                    raise errors.from_busy_response(response, label, requested)
                if requested is not None and requested > self._retry.max_retry_after:
                    raise errors.retry_after_too_long(label, requested)
            pause = max(self._retry.delay(failures), requested or 0.0)

    @contextmanager
    def limit_pages(self) -> Iterator[None]:
        """Let this thread send no more requests in the block than the longest listing has pages.

        The hub library follows the address of the next page as long as there is one.
        """
        self._pages.left = _MAX_PAGES
        try:
            yield
        finally:
            self._pages.left = None

    def _count_page(self) -> None:
        left = getattr(self._pages, "left", None)
        if left is not None:
            if left <= 0:
                raise errors.endless_listing(_MAX_PAGES)
            self._pages.left = left - 1

    def _drop_token_for_other_hosts(self, request: httpx2.Request) -> None:
        """Remove the token from requests to other hosts, whether redirected or linked. Hook of every request."""
        if not _is_same_host(request.url, self._endpoint):
            request.headers.pop("Authorization", None)


def _is_same_host(url: httpx2.URL, endpoint: httpx2.URL) -> bool:
    """Return whether a URL has the endpoint's scheme, host and port; an upgrade from HTTP to HTTPS counts."""
    upgraded = endpoint.scheme == "http" and url.scheme == "https" and url.port is endpoint.port is None
    same_origin = url.scheme == endpoint.scheme and url.port == endpoint.port
    return url.host == endpoint.host and (upgraded or same_origin)
