"""A self-signed certificate, created with the `openssl` program."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as PEM files. A client that has `certificate` as its CA file trusts it."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def self_signed_certificate(folder: Path) -> Certificate:
    """Return a new self-signed certificate for localhost and 127.0.0.1, in `folder`.

    Raises:
        FileNotFoundError: there is no `openssl` program.
        subprocess.CalledProcessError: it failed; its words are in `stderr`.
    """
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
    command = ["openssl", "req", "-x509", "-days", "30", "-subj", "/CN=fake-hub", "-addext", names]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return made
