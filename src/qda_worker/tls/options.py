"""The options of TLS: which files. Imports nothing heavy, for options are read before anything else is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from model_cache.programs.options import Option


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files. client_ca: who signs the certificates of clients, which must then show one (mutual TLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """Those that there are."""
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))


def _path(text: str) -> Path | None:
    if "\x00" in text:
        raise ValueError("a file")
    return Path(text)


TLS_CERT: Final = Option(
    "--tls-cert",
    "QDA_TLS_CERT",
    _path,
    None,
    "FILE",
    "TLS on the gRPC port: its certificate, then those between it and its CA; may be replaced while serving",
    "plain text",
)
TLS_KEY: Final = Option("--tls-key", "QDA_TLS_KEY", _path, None, "FILE", "the certificate's key", "none")
TLS_CLIENT_CA: Final = Option(
    "--tls-client-ca",
    "QDA_TLS_CLIENT_CA",
    _path,
    None,
    "FILE",
    "let in only clients with a certificate of this CA (mutual TLS)",
    "any client",
)
TLS_OPTIONS: Final = (TLS_CERT, TLS_KEY, TLS_CLIENT_CA)


def read_tls_files(arguments: argparse.Namespace, environ: Mapping[str, str]) -> TlsFiles | None:
    """The files that were named; None: plain text. Raises UsageError where one is missing."""
    certificate, key, client_ca = (option.value(arguments, environ) for option in TLS_OPTIONS)
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    missing = TLS_CERT if certificate is None else TLS_KEY
    raise UsageError(
        f"TLS was asked for without {missing.flag} ({missing.variable})",
        f"name certificate and key: {TLS_CERT.flag} FILE {TLS_KEY.flag} FILE",
    )
