"""Facts about a remote body without storing it: its size, its sha256, and whether a response is compressed.

The size comes from a GET of the first byte: addresses that are signed for GET, as those of release pages,
refuse a HEAD. For the sha256 the whole body is read.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

import httpx2

from cache_warmer.hub import errors

# Digits of a plausible size; more would not fit into 64 bits.
_MAX_DIGITS: Final = 18
# RFC 9110, section 14.4.
_FIRST_BYTE: Final = re.compile(r"bytes 0-0/(\d{1,18})")
_CHUNK_BYTES: Final = 1 << 20


def body_size(http: httpx2.Client, url: str, label: str) -> int | None:
    """Return the size of a body in bytes; None if the server does not state it.

    Args:
        http: the client.
        url: address of the body.
        label: what is requested, for messages.

    Raises:
        HubError: the server cannot be reached, refuses, or sends an HTML page.
    """
    try:
        headers = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
        request = http.build_request("GET", url, headers=headers, extensions={"label": label})
        response = http.send(request, stream=True)
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise errors.from_exception(error, label) or error from error
    response.close()
    if response.status_code in (200, 206) and is_compressed(response.headers, None, None):
        return None
    if response.status_code == 206:
        match = _FIRST_BYTE.fullmatch(response.headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    if response.status_code not in (200, 416):
        raise errors.from_status(response, label)
    _require_no_html(response, url, label)
    return content_length(response.headers) if response.status_code == 200 else None


def body_sha256(http: httpx2.Client, url: str, label: str) -> str:
    """Read a body and return its sha256, 64 lower-case hex digits.

    Args:
        http: the client.
        url: address of the body.
        label: what is requested, for messages.

    Raises:
        HubError: the server cannot be reached, refuses, or sends an HTML page.
    """
    digest = hashlib.sha256()
    try:
        headers = {"Accept-Encoding": "identity"}
        request = http.build_request("GET", url, headers=headers, extensions={"label": label})
        response = http.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise errors.from_status(response, label)
            _require_no_html(response, url, label)
            # decompressed, because some servers compress although the request asks for none
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                digest.update(chunk)
        finally:
            response.close()
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise errors.from_exception(error, label) or error from error
    return digest.hexdigest()


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the value of `Content-Length`; None if it is missing or no plausible size."""
    value = headers.get("Content-Length", "")
    return int(value) if value.isdecimal() and len(value) <= _MAX_DIGITS else None


def is_compressed(headers: Mapping[str, str], length: int | None, size: int | None) -> bool:
    """Return whether a response's body is a compressed form of the file.

    Requests ask for no compression, but some servers compress all the same. A body that has the size of the file is the
    file itself: it was compressed when it was stored, and some stores report its coding as the response's.

    Args:
        headers: the headers of the response; a mapping that ignores the case of names.
        length: bytes of the body; None if not known.
        size: bytes that the file must have; None if not known.
    """
    coding = headers.get("Content-Encoding", "").strip().lower()
    return coding not in ("", "identity") and (length is None or length != size)


def _require_no_html(response: httpx2.Response, url: str, label: str) -> None:
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise errors.html_page(label, url)
