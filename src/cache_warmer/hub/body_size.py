"""Asks how large a body is, without fetching it.

By a GET for its first byte: addresses that were signed for GET, as release pages hand out, refuse a HEAD.
"""

import re

import httpx2

from cache_warmer.hub import refusals
from cache_warmer.transfer.answers import is_compressed


def body_size(http: httpx2.Client, url: str, label: str) -> int | None:
    """Return the size in bytes; None if the server does not say. Raises ``HubError``."""
    try:
        headers = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
        request = http.build_request("GET", url, headers=headers, extensions={"label": label})
        response = http.send(request, stream=True)
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise refusals.of_exception(error, label) or error from error
    response.close()
    if response.status_code in (200, 206) and is_compressed(response.headers, None, None):
        return None
    if response.status_code == 206:
        match = re.fullmatch(r"bytes 0-0/(\d{1,18})", response.headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    if response.status_code not in (200, 416):
        raise refusals.of_status(response, label)
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise refusals.page(label, url)
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == 200 and length.isdecimal() else None
