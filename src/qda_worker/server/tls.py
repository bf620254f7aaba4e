"""TLS for the gRPC and HTTP ports: certificate files are validated at start and reloaded while the worker serves.

`read_identity` reads certificate chain, private key and client CA into one checked value and names the file that is
wrong. gRPC itself reports only "handshaker factory creation failed" for a key that does not match its certificate, and
nothing at all for an expired certificate.

`RotatingIdentity` holds the identity in use: that of the files as they are now, or the last valid one. Two callers
check the files for changes: gRPC before each handshake, in one of its own threads, so that the next connection uses a
renewed certificate; and a task of the event loop every minute, so that a renewal or a defect is logged while no client
connects. A lock serializes both. Open connections keep the certificate they were opened with.

`qda_worker.file_reload` notices changes. Files that cannot be used are logged once and the former identity stays in
use: certificate and key may be written one after the other, so the next check may find a matching pair.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from model_cache.errors import UsageError
from qda_worker.file_reload import FileReload
from qda_worker.observability.logs import Log
from qda_worker.settings import TlsFiles

# Remaining share of a certificate's lifetime below which a missing renewal is logged as a warning. cert-manager renews
# when a third is left.
RENEW_AT: Final = 0.1
# Seconds between two checks of the files while no client connects.
CHECK_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Identity:
    """The contents of the TLS files, and what operators need to know about the certificate.

    Attributes:
        certificate: the server's certificate, followed by intermediate certificates, in PEM form.
        key: the private key of the certificate, in PEM form.
        client_ca: the CA certificates that sign client certificates, in PEM form; None without mutual TLS.
        subject: the certificate's subject, as RFC 4514 writes it.
        serial: its serial number, hexadecimal.
        not_before: when its validity begins, in UTC.
        not_after: when its validity ends, in UTC.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    subject: str
    serial: str
    not_before: datetime
    not_after: datetime

    def validity_warning(self, now: datetime) -> str | None:
        """Return what is wrong with the validity period at `now`; None if nothing is."""
        if now >= self.not_after:
            return f"the certificate expired at {self.not_after:%Y-%m-%d %H:%M} UTC"
        if now < self.not_before:
            return f"the certificate is not valid before {self.not_before:%Y-%m-%d %H:%M} UTC"
        if self.not_after - now < (self.not_after - self.not_before) * RENEW_AT:
            return f"the certificate expires at {self.not_after:%Y-%m-%d %H:%M} UTC and was not renewed yet"
        return None


def read_identity(files: TlsFiles) -> Identity:
    """Read and check the TLS files.

    Raises:
        UsageError: a file cannot be read, has the wrong form, or the key does not match the certificate. The message
            names the file.
    """
    chain, key = _read_file(files.certificate), _read_file(files.key)
    leaf = _load_certificates(files.certificate, chain)[0]
    client_ca = None
    if files.client_ca is not None:
        client_ca = _read_file(files.client_ca)
        _load_certificates(files.client_ca, client_ca)
    if _public_key(files.key, key) != leaf.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ):
        raise UsageError(
            f"the key {files.key} does not match the certificate {files.certificate}",
            "give the two files that were issued together; the server's own certificate must come first in its file",
        )
    return Identity(
        chain,
        key,
        client_ca,
        subject=leaf.subject.rfc4514_string(),
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc.astimezone(UTC),
        not_after=leaf.not_valid_after_utc.astimezone(UTC),
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)


class RotatingIdentity:
    """The identity in use, reloaded when its files change. Every method may be called from any thread."""

    def __init__(self, files: TlsFiles, log: Log, now: Callable[[], datetime] = _utc_now) -> None:
        """Read the files for the first time.

        Args:
            files: the paths of the TLS files.
            log: receives `tls.loaded`, `tls.certificate_time` and `tls.not_reloaded`.
            now: the current time in UTC.

        Raises:
            UsageError: the files cannot be used.
        """
        self._files = files
        self._log = log
        self._now = now
        self._lock = threading.Lock()
        self._last_warning: str | None = None
        self._reloaded = FileReload(files.all, lambda: read_identity(files), self._log_not_reloaded)
        # The identity that gRPC received last; `_updated_configuration` returns None while it has not changed.
        self._configured = self._reloaded.current
        self._log_loaded()
        self._log_validity()

    @property
    def current(self) -> Identity:
        """The identity for the next connection, unless the files change before."""
        return self._reloaded.current

    def expires(self) -> float:
        """Return when the current certificate expires, in seconds since 1970."""
        return self.current.not_after.timestamp()

    def reload_if_changed(self) -> Identity | None:
        """Return the new identity if the files hold one; None if nothing changed or the files cannot be used."""
        with self._lock:
            self._log_validity()
            identity = self._reloaded.reload_if_changed()
            if identity is not None:
                self._last_warning = None
                self._log_loaded()
                self._log_validity()
            return identity

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials for `add_secure_port`; with a client CA, clients must present a certificate."""
        self._configured = self.current
        return grpc.dynamic_ssl_server_credentials(
            _certificate_configuration(self._configured),
            self._updated_configuration,  # type: ignore[arg-type]  # None is allowed, see gRPC's documentation
            require_client_authentication=self._files.client_ca is not None,
        )

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context for a server of asyncio; with a client CA, clients must present a certificate.

        Like gRPC it looks at the files before each handshake, so that the next connection uses a renewed certificate.
        The files are read again by OpenSSL; if they do not match any more, the former context stays in use.
        """
        current = self.current, _create_context(self._files)

        def choose() -> ssl.SSLContext:
            nonlocal current
            self.reload_if_changed()
            if current[0] is not self.current:
                with suppress(OSError):  # written at this moment; the next handshake tries again
                    current = self.current, _create_context(self._files)
            return current[1]

        listening = _ListeningContext(ssl.PROTOCOL_TLS_SERVER)
        listening.choose = choose
        return listening

    async def watch(self) -> None:
        """Check the files every `CHECK_SECONDS` until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await asyncio.to_thread(self.reload_if_changed)

    def _updated_configuration(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the configuration for a handshake if it changed, else None.

        gRPC calls this before each handshake, one at a time: it holds a lock of its own.
        """
        self.reload_if_changed()
        if self._configured is self.current:
            return None
        self._configured = self.current
        return _certificate_configuration(self._configured)

    def _log_loaded(self) -> None:
        identity = self.current
        self._log.info(
            "tls.loaded",
            subject=identity.subject,
            serial=identity.serial,
            expires=identity.not_after.isoformat(),
            mutual=identity.client_ca is not None,
        )

    def _log_validity(self) -> None:
        warning = self.current.validity_warning(self._now())
        if warning is not None and warning != self._last_warning:
            self._log.warning("tls.certificate_time", detail=warning, remedy="renew it; no restart is needed")
            self._last_warning = warning

    def _log_not_reloaded(self, error: UsageError) -> None:
        if error.message != self._last_warning:
            self._log.error("tls.not_reloaded", detail=error.message, remedy=error.remedy)
            self._last_warning = error.message


class _ListeningContext(ssl.SSLContext):
    """A context whose connections are those of the context that `choose` returns.

    A context keeps the sessions of its clients, and a resumed session is not verified again. So a connection must begin
    in the context of the files as they are: a callback that exchanges the context later, such as `sni_callback`, is
    called when OpenSSL has resumed the session already.
    """

    choose: Callable[[], ssl.SSLContext]

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Return a connection; asyncio calls this for each."""
        return self.choose().wrap_bio(*args, **kwargs)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}",
            "give a file that this user may read",
        ) from error


def _load_certificates(path: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise UsageError(
            f"{path} holds no certificate in PEM form",
            "give a file that begins with -----BEGIN CERTIFICATE-----",
        ) from error


def _public_key(path: Path, content: bytes) -> bytes:
    """Return the public key of a private key, DER-encoded, for comparison with the certificate's."""
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as error:  # raised by the library for a key with a passphrase
        raise UsageError(
            f"the key {path} is protected by a passphrase",
            "remove it with: openssl pkey -in KEY -out NEW_KEY",
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{path} holds no private key in PEM form",
            "give a file that begins with -----BEGIN PRIVATE KEY-----",
        ) from error
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _certificate_configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(identity.key, identity.certificate)], root_certificates=identity.client_ca
    )


def _create_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context with the files as they are now.

    Raises:
        OSError: they cannot be used; `ssl.SSLError` is one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # No session is resumed in TLS 1.3, because it would not be verified again. TLS 1.2 has session ids too, for which
    # there is no option: they are known to this context alone, and another client CA is another context.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    context.load_cert_chain(files.certificate, files.key)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    return context
