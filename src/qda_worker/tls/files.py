"""The files of TLS as one checked value: what is wrong with them is told by name before a client meets it.

gRPC itself says only "handshaker factory creation failed" to a key of another certificate, and nothing at all about one
that has expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from model_cache.errors import UsageError
from qda_worker.tls.options import TlsFiles

RENEW_AT: Final = 0.1
"""Share of a certificate's life at whose begin a missing renewal is worth a warning. cert-manager renews when a third
is left."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The contents of the files, in PEM form, and what people want to know of the certificate.

    since, expires: when its validity begins and ends, UTC. serial: its number, hexadecimal.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    subject: str
    serial: str
    since: datetime
    expires: datetime

    def warning(self, now: datetime) -> str | None:
        """What is wrong with the certificate's time; None if nothing is."""
        if now >= self.expires:
            return f"the certificate expired at {self.expires:%Y-%m-%d %H:%M} UTC"
        if now < self.since:
            return f"the certificate is not valid before {self.since:%Y-%m-%d %H:%M} UTC"
        if self.expires - now < (self.expires - self.since) * RENEW_AT:
            return f"the certificate expires at {self.expires:%Y-%m-%d %H:%M} UTC and was not renewed yet"
        return None


def read_identity(files: TlsFiles) -> Identity:
    """Read and check the files. Raises UsageError that names the file and what is wrong with it."""
    chain, key = _content(files.certificate), _content(files.key)
    leaf = _certificates(files.certificate, chain)[0]
    client_ca = None
    if files.client_ca is not None:
        client_ca = _content(files.client_ca)
        _certificates(files.client_ca, client_ca)
    if _public_key(files.key, key) != leaf.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ):
        raise UsageError(
            f"the key {files.key} is not that of the certificate {files.certificate}",
            "name the two files that were issued together; the server's own certificate comes first in its file",
        )
    return Identity(
        chain,
        key,
        client_ca,
        subject=leaf.subject.rfc4514_string(),
        serial=f"{leaf.serial_number:x}",
        since=leaf.not_valid_before_utc.astimezone(UTC),
        expires=leaf.not_valid_after_utc.astimezone(UTC),
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}",
            "name a file that this user may read",
        ) from error


def _certificates(path: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise UsageError(
            f"{path} holds no certificate in PEM form",
            "name a file that begins with -----BEGIN CERTIFICATE-----",
        ) from error


def _public_key(path: Path, content: bytes) -> bytes:
    """The public half of the private key, to be compared."""
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as error:  # how the library says that it needs a passphrase
        raise UsageError(
            f"the key {path} is protected by a passphrase",
            "remove it with: openssl pkey -in KEY -out NEW_KEY",
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{path} holds no private key in PEM form",
            "name a file that begins with -----BEGIN PRIVATE KEY-----",
        ) from error
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
