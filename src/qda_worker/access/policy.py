"""Who may call the worker: the policy of tokens and certificate names, for every transport.

Two requirements can be configured, each by itself or both together; a call must meet all that are:

- tokens (`--tokens`): the call has `authorization: Bearer TOKEN` with a token of the file;
- names (`--allow-client`): the client's certificate, which TLS has verified, has one of these names, as DNS name or URI
  of its subject alternative names or as its common name.

The caller's name is that of the token, else that of the certificate. Log, limits and fair scheduling use it. Without
either requirement every call is accepted, and has no name of this kind.

The tokens are checked before the request is read. Calls that run when a token is removed go on to their end. The file
is read again within `CHECK_SECONDS` of a change; a new file that cannot be used is logged, and the former tokens stay
valid. Tokens are in no log, error, metric or trace, and in no `repr`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from model_cache.errors import UsageError
from qda_worker.access.concurrent_calls import ConcurrentCalls
from qda_worker.access.text_rates import TextBudget, TextRates
from qda_worker.access.tokens import read_tokens
from qda_worker.errors import ClientNotAllowed, TokenMissing, TokenUnknown
from qda_worker.file_reload import FileReload
from qda_worker.settings import AccessSettings

AUTHORIZATION_HEADER: Final = "authorization"
# The challenge that belongs to UNAUTHENTICATED in HTTP (RFC 6750, section 3).
CHALLENGE: Final = 'Bearer realm="qda-worker"'
# Seconds between two looks at the file of tokens.
CHECK_SECONDS: Final = 2.0


class AccessPolicy:
    """Decides about calls. Its methods run on the event loop, except that the file is read in a thread.

    Attributes:
        calls: counts the calls in progress.
    """

    def __init__(
        self, settings: AccessSettings, log: structlog.typing.FilteringBoundLogger, *, max_calls: int
    ) -> None:
        """Read the tokens for the first time.

        Args:
            settings: who may call, and how much.
            max_calls: the limit of concurrent calls of all callers and transports.
            log: receives `access.tokens_loaded` and `access.tokens_not_loaded`.

        Raises:
            UsageError: the file of tokens cannot be used.
        """
        self.calls = ConcurrentCalls(max_calls, settings.max_caller_calls)
        self._log = log
        self._last_error = ""
        self._allowed = {_canonical(name): name for name in settings.allowed_clients}
        self._rates = (
            None if settings.caller_texts_per_second is None else TextRates(settings.caller_texts_per_second)
        )
        path = settings.tokens
        self._tokens = (
            None if path is None else FileReload([path], lambda: read_tokens(path), self._log_error)
        )
        if self._tokens is not None:
            self._log_loaded()

    def check_token(self, authorization: Sequence[str]) -> str:
        """Return the name of the call's token; empty if no token is required.

        Raises:
            TokenMissing: the call has no bearer token and needs one.
            TokenUnknown: its token is not in the file.
        """
        if self._tokens is None:
            return ""
        name = self._tokens.current.find(_bearer_token(authorization))
        if name is None:
            raise TokenUnknown("the token of this call is not one of the worker's tokens")
        return name

    def check_certificate(self, names: Iterable[str]) -> str:
        """Return the first allowed name of the call's certificate; empty if none is required.

        Raises:
            ClientNotAllowed: the certificate has none of the allowed names.
        """
        if not self._allowed:
            return ""
        presented = {_canonical(name) for name in names}
        for canonical, name in self._allowed.items():
            if canonical in presented:
                return name
        raise ClientNotAllowed(
            "the client's certificate has none of the names that this worker accepts"
            if presented
            else "the call has no client certificate"
        )

    def budget(self, caller: str) -> TextBudget | None:
        """Return what limits the texts of a call; None without such a limit.

        Args:
            caller: whom the call is charged to: the name of its token, else that of its certificate, else its host.
        """
        return None if self._rates is None else self._rates.budget(caller)

    async def watch(self) -> None:
        """Look at the file of tokens every `CHECK_SECONDS` until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await asyncio.to_thread(self.reload_if_changed)

    def reload_if_changed(self) -> None:
        """Read the tokens again if their file has changed. Blocks; may be called from any thread."""
        if self._tokens is not None and self._tokens.reload_if_changed() is not None:
            self._last_error = ""
            self._log_loaded()

    def _log_loaded(self) -> None:
        if self._tokens is not None:
            table = self._tokens.current
            self._log.info("access.tokens_loaded", tokens=len(table), names=len(table.names))

    def _log_error(self, error: UsageError) -> None:
        if error.message != self._last_error:
            self._log.error("access.tokens_not_loaded", detail=error.message, remedy=error.remedy)
            self._last_error = error.message


def _bearer_token(authorization: Sequence[str]) -> str:
    """Return the token of the authorization header. Raises TokenMissing."""
    if len(authorization) > 1:
        raise TokenMissing("the call has more than one authorization header", "send one of them")
    scheme, _, token = "".join(authorization).strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise TokenMissing(
            "the authorization of the call is not a bearer token" if scheme else "the call has no token"
        )
    return token


def _canonical(name: str) -> str:
    """Return a name as it is compared: names of hosts in lower case, URIs as they are."""
    return name if "://" in name else name.lower()
