"""Certificates that are replaced while the worker serves: the files as they are now, or the last that were good.

gRPC asks before each handshake, in a thread of its own, so a renewed certificate is used by the next connection; those
that are open stay. A look every minute finds the renewal, or what is wrong with it, also while nobody connects.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import grpc

from model_cache.errors import UsageError
from qda_worker.observability.logs import Log
from qda_worker.tls.files import Identity, read_identity
from qda_worker.tls.options import TlsFiles

LOOK_SECONDS: Final = 60.0
"""Between two looks at the files while nobody connects."""

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
