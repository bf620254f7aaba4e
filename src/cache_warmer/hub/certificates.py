"""The authorities that the warmer trusts: those of the system, and in addition those of `--ca-bundle`.

A private mirror has a certificate of a private authority, while the wheels, or what the mirror redirects to, have one
of a public authority. So `--ca-bundle` (`QDA_CA_BUNDLE`) adds to the authorities of the system. The variables of other
clients keep their usual meaning and replace those of the system: `SSL_CERT_FILE`, else `SSL_CERT_DIR`, else
`REQUESTS_CA_BUNDLE`, else `CURL_CA_BUNDLE`. `--ca-bundle` adds to these as well.

One context serves every connection: to the hub, to the servers of wheels and files, and to a proxy over TLS.
"""

import os
import ssl
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from cache_warmer.errors import HubUntrusted
from model_cache.file_io import read_small_file

_PEM_BEGIN: Final = b"-----BEGIN "
_OPTION: Final = "--ca-bundle (QDA_CA_BUNDLE; in the chart hub.caBundle, hub.caConfigMap or hub.caSecret)"


def make_tls_context(environ: MutableMapping[str, str], ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the context of all connections.

    Args:
        environ: the environment. The variables of requests and curl are copied to those of OpenSSL, the only ones that
            the HTTP client reads.
        ca_bundle: a PEM file with further authorities; None: no further ones.

    Raises:
        HubUntrusted: a bundle cannot be read, is empty, or holds no certificates in PEM form.
    """
    import httpcore2

    variable = _set_openssl_variables(environ)
    if variable and not os.path.isdir(environ[variable]):
        _require_certificates(Path(environ[variable]), variable)
    try:
        context = httpcore2.default_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        raise _unusable(environ.get(variable, ""), _cause(error), variable) from error
    if ca_bundle is not None:
        _require_certificates(ca_bundle, _OPTION)
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except OSError as error:
            raise _unusable(str(ca_bundle), _cause(error), _OPTION) from error
    return context


def _set_openssl_variables(environ: MutableMapping[str, str]) -> str:
    """Copy the bundle of requests or curl, and return the variable that names the authorities; empty: the system's."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if environ.get(variable):
            return variable
    bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    if not bundle:
        return ""
    variable = "SSL_CERT_DIR" if os.path.isdir(bundle) else "SSL_CERT_FILE"
    environ[variable] = bundle
    return variable


def _require_certificates(path: Path, origin: str) -> None:
    """Raise unless the file looks like certificates; OpenSSL's own messages name neither the file nor what it has."""
    try:
        content = read_small_file(path)
    except (OSError, ValueError) as error:
        raise _unusable(str(path), _cause(error), origin) from error
    if not content.strip():
        raise _unusable(str(path), "it is empty", origin)
    if _PEM_BEGIN not in content:
        raise _unusable(str(path), "it is not in PEM form (no line `-----BEGIN CERTIFICATE-----`)", origin)
    if b"CERTIFICATE-----" not in content:
        raise _unusable(str(path), "it holds no certificate, only something else in PEM form", origin)


def _unusable(path: str, cause: str, origin: str) -> HubUntrusted:
    return HubUntrusted(
        f"the CA bundle {path} cannot be read: {cause}",
        f"name a file of PEM certificates in {origin}, or unset it",
    )


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"it holds a broken certificate ({error.reason or 'not PEM'})"
    return getattr(error, "strerror", None) or str(error)
