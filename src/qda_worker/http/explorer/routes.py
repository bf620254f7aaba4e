"""The page and the OpenAPI document at their paths. They are no calls: anyone may read them, also without a token.

Both are the same for everyone and contain nothing of a request. A browser that opens the page cannot send a token yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from qda_worker.http.exchange import (
    JSON_TYPE,
    Exchange,
    HeaderList,
    RequestRefused,
    Response,
    Route,
    require_get,
)
from qda_worker.http.explorer.page import build_page
from qda_worker.http.openapi.document import read_document
from qda_worker.http.statuses import error_response, failed_outcome


@dataclass(frozen=True, slots=True)
class _Document:
    """A route that answers each GET and HEAD with the same content."""

    body: bytes
    headers: HeaderList

    async def __call__(self, exchange: Exchange) -> Response:
        try:
            require_get(exchange)
        except RequestRefused as refused:
            return error_response(failed_outcome(refused.error), refused.status, refused.headers)
        return Response(200, self.body, self.headers)


def document_routes(version: str) -> Mapping[str, Route]:
    """Return the routes of the page, at `/` and `/docs`, and of `/openapi.json`, by path.

    Args:
        version: that of this worker.
    """
    page = _Document(*build_page())
    headers = (("content-type", JSON_TYPE), ("cache-control", "no-cache"))
    return {"/": page, "/docs": page, "/openapi.json": _Document(read_document(version), headers)}
