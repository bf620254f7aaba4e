"""Reads a body only to know its sha256: nothing of it is kept."""

import hashlib

import httpx2

from cache_warmer.hub import refusals
from cache_warmer.transfer.hashing import CHUNK


def body_sha256(http: httpx2.Client, url: str, label: str) -> str:
    """Return the sha256 of the whole body, 64 lower-case hex digits. Raises ``HubError``."""
    digest = hashlib.sha256()
    try:
        request = http.build_request(
            "GET", url, headers={"Accept-Encoding": "identity"}, extensions={"label": label}
        )
        response = http.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise refusals.of_status(response, label)
            if response.headers.get("Content-Type", "").lower().startswith("text/html"):
                raise refusals.page(label, url)
            for chunk in response.iter_bytes(CHUNK):  # decompressed, should a server compress unasked
                digest.update(chunk)
        finally:
            response.close()
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise refusals.of_exception(error, label) or error from error
    return digest.hexdigest()
