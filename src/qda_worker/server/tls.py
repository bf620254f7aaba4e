"""The files of TLS as one checked value: what is wrong with them is told by name before a client meets it.

gRPC itself says only "handshaker factory creation failed" to a key of another certificate, and nothing at all about one
that has expired.

Certificates that are replaced while the worker serves: the files as they are now, or the last that were good.

gRPC asks before each handshake, in a thread of its own, so a renewed certificate is used by the next connection; those
that are open stay. A look every minute finds the renewal, or what is wrong with it, also while nobody connects.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from model_cache.errors import UsageError
from qda_worker.observability.logs import Log
from qda_worker.settings import TlsFiles

# Share of a certificate's life at whose begin a missing renewal is worth a warning. cert-manager renews
# when a third is left.
RENEW_AT: Final = 0.1


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


# Between two looks at the files while nobody connects.
LOOK_SECONDS: Final = 60.0

_Stamp = tuple[tuple[int, int, int], ...]


def _now() -> datetime:
    return datetime.now(UTC)


class RotatingIdentity:
    """The certificate in use. Every method may be called from any thread. Making it raises UsageError for bad files."""

    def __init__(self, files: TlsFiles, log: Log, now: Callable[[], datetime] = _now) -> None:
        self._files = files
        self._log = log
        self._now = now
        self._lock = threading.Lock()
        self._stamp = _stamp(files)
        self._current = self._given = read_identity(files)
        self._said: str | None = None
        self._tell_loaded()
        self._tell_time()

    @property
    def current(self) -> Identity:
        """What the next connection gets, unless the files change before."""
        return self._current

    def expires(self) -> float:
        """When that one expires, in seconds since 1970."""
        return self._current.expires.timestamp()

    def refresh(self) -> Identity | None:
        """Look at the files: the new identity if they hold one, None if nothing changed or what they hold is bad."""
        with self._lock:
            self._tell_time()
            stamp = _stamp(self._files)
            if stamp == self._stamp:
                return None
            try:
                found = read_identity(self._files)
            except UsageError as error:
                # Not the end: certificate and key may be written one after the other, so the next look may find a pair.
                self._tell_bad(error)
                return None
            self._stamp = stamp
            if found == self._current:
                return None
            self._current, self._said = found, None
            self._tell_loaded()
            self._tell_time()
            return found

    def credentials(self) -> grpc.ServerCredentials:
        """For `add_secure_port`; clients must show a certificate where there is a CA for them."""
        self._given = self._current
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._given),
            self._fetch,  # type: ignore[arg-type]  # None is allowed, as gRPC's own documentation says
            require_client_authentication=self._files.client_ca is not None,
        )

    async def watch(self) -> None:
        """Look every minute, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(self.refresh)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Before each handshake, one at a time: gRPC holds a lock of its own. None: nothing new since the last."""
        self.refresh()
        if self._given is self._current:
            return None
        self._given = self._current
        return _configuration(self._given)

    def _tell_loaded(self) -> None:
        identity = self._current
        self._log.info(
            "tls.loaded",
            subject=identity.subject,
            serial=identity.serial,
            expires=identity.expires.isoformat(),
            mutual=identity.client_ca is not None,
        )

    def _tell_time(self) -> None:
        trouble = self._current.warning(self._now())
        if trouble is not None and trouble != self._said:
            self._log.warning("tls.certificate_time", detail=trouble, remedy="renew it; no restart is needed")
            self._said = trouble

    def _tell_bad(self, error: UsageError) -> None:
        if error.message != self._said:
            self._log.error("tls.not_reloaded", detail=error.message, remedy=error.remedy)
            self._said = error.message


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(identity.key, identity.certificate)], root_certificates=identity.client_ca
    )


def _stamp(files: TlsFiles) -> _Stamp:
    """What changes when a file is replaced, also through the links by which Kubernetes swaps a mounted Secret."""
    found = []
    for path in files.all:
        try:
            status = path.stat()
        except OSError:
            found.append((0, 0, 0))  # reading it says what is wrong
        else:
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
