"""Which route answers a path of the HTTP port, and cross-origin requests of browsers (CORS).

To add a path, write a coroutine function that takes an `Exchange` and returns a `Response`, and add it with its path to
the routes in `server.http_server`. A path without a route of its own is a method of the Connect protocol. A route that
computes something should call a method of a service through `CallRunner`, so that it is observed and limited as a call.

CORS follows https://fetch.spec.whatwg.org/#http-cors-protocol. Without `--http-cors-origin` no page of another origin
may read a response, and none may send JSON: a browser asks first, and receives no permission.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

from qda_worker.http.exchange import Exchange, Response, Route

# Any origin, as an option value.
ANY_ORIGIN: Final = "*"

_ALLOWED_METHODS: Final = "GET, POST"
_EXPOSED_HEADERS: Final = (
    "retry-after, retry-after-ms, www-authenticate, x-qda-truncated, x-qda-truncated-count, x-should-retry"
)
# A name of a header, by RFC 9110, section 5.1.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_MAX_AGE_SECONDS: Final = 7200


class Router:
    """Chooses the route of each request.

    Args:
        routes: by path; one that ends with a slash is that of all paths below it that have no other, such as `/v1/`.
        fallback: the route of all other paths.
        cors_origins: origins whose pages may call, as `https://qda.example.org`; `*` for any.
    """

    def __init__(
        self, routes: Mapping[str, Route], fallback: Route, cors_origins: Collection[str] = ()
    ) -> None:
        self._routes = dict(routes)
        self._fallback = fallback
        self._cors_origins = frozenset(cors_origins)

    async def __call__(self, exchange: Exchange) -> Response | None:
        """Answer one request."""
        exchange.response_headers.extend(self._cors_headers(exchange))
        if exchange.method == "OPTIONS":
            return Response(204, headers=[("allow", f"{_ALLOWED_METHODS}, OPTIONS")])
        return await self._find(exchange.path)(exchange)

    def _find(self, path: str) -> Route:
        folder = path[: path.find("/", 1) + 1]  # as /v1/
        return self._routes.get(path) or self._routes.get(folder) or self._fallback

    def _cors_headers(self, exchange: Exchange) -> list[tuple[str, str]]:
        if not self._cors_origins:
            return []
        origin = exchange.header("origin")
        allowed = origin and (origin in self._cors_origins or ANY_ORIGIN in self._cors_origins)
        headers = [
            ("vary", "origin, access-control-request-headers" if exchange.method == "OPTIONS" else "origin")
        ]
        if not allowed:
            return headers
        headers.append(("access-control-allow-origin", origin))
        if exchange.method == "OPTIONS":
            headers += [
                ("access-control-allow-methods", _ALLOWED_METHODS),
                ("access-control-allow-headers", _requested_headers(exchange)),
                ("access-control-max-age", str(_MAX_AGE_SECONDS)),
            ]
        else:
            headers.append(("access-control-expose-headers", _EXPOSED_HEADERS))
        return headers


def _requested_headers(exchange: Exchange) -> str:
    """Return the names of headers that a browser asks for.

    All are allowed: clients of the OpenAI API send headers of their own (`x-stainless-…`), which vary by release.
    """
    names = (name.strip() for name in exchange.header("access-control-request-headers").split(","))
    return ", ".join(name for name in names if _HEADER_NAME.fullmatch(name))
