"""Asks how large a body is, without fetching it.

By a GET for its first byte: addresses that were signed for GET, as release pages hand out, refuse a HEAD.

Reads a body only to know its sha256: nothing of it is kept.
"""

import hashlib
import re

import httpx2

from cache_warmer.hub import errors
from cache_warmer.transfer.hashing import CHUNK
from cache_warmer.transfer.range_requests import is_compressed


def body_size(http: httpx2.Client, url: str, label: str) -> int | None:
    """Return the size in bytes; None if the server does not say. Raises `HubError`."""
    try:
        headers = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
        request = http.build_request("GET", url, headers=headers, extensions={"label": label})
        response = http.send(request, stream=True)
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise errors.of_exception(error, label) or error from error
    response.close()
    if response.status_code in (200, 206) and is_compressed(response.headers, None, None):
        return None
    if response.status_code == 206:
        match = re.fullmatch(r"bytes 0-0/(\d{1,18})", response.headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    if response.status_code not in (200, 416):
        raise errors.of_status(response, label)
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise errors.page(label, url)
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == 200 and length.isdecimal() else None


def body_sha256(http: httpx2.Client, url: str, label: str) -> str:
    """Return the sha256 of the whole body, 64 lower-case hex digits. Raises `HubError`."""
    digest = hashlib.sha256()
    try:
        request = http.build_request(
            "GET", url, headers={"Accept-Encoding": "identity"}, extensions={"label": label}
        )
        response = http.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise errors.of_status(response, label)
            if response.headers.get("Content-Type", "").lower().startswith("text/html"):
                raise errors.page(label, url)
            for chunk in response.iter_bytes(CHUNK):  # decompressed, should a server compress unasked
                digest.update(chunk)
        finally:
            response.close()
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise errors.of_exception(error, label) or error from error
    return digest.hexdigest()
