"""A fast local HTTPS server with ranges for the benchmarks: nginx, if it is installed."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.fake_hub import Certificate

_CONFIGURATION: Final = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; default_type application/octet-stream;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
    location ~ ^/lfs/[^/]+/(?<file>.+)$ {{ root {root}; limit_rate {rate}; try_files /$file =404; }}
  }}
}}
"""
# Tries to connect, and seconds between two of them.
_START_TRIES, _START_PAUSE_SECONDS = 200, 0.05


def find_nginx() -> str | None:
    """Return the path of the program, if it is installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def serve_files(
    root: Path, folder: Path, certificate: Certificate, megabytes_per_second: int = 0
) -> Iterator[str]:
    """Serve `/lfs/SHA256/PATH` from `root/PATH` by nginx, as the hub's second host does; yield the address.

    Args:
        root: folder of the files.
        folder: a new folder for configuration and temporary files.
        certificate: of the server.
        megabytes_per_second: limit of each connection; 0 for no limit.
    """
    program = find_nginx()
    assert program is not None  # the caller has checked
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(
        ("user root;" if _is_root() else "")
        + _CONFIGURATION.format(
            folder=folder,
            root=root,
            port=port,
            certificate=certificate.certificate,
            key=certificate.key,
            rate=f"{megabytes_per_second}m",
        )
    )
    server = subprocess.Popen([program, "-p", str(folder), "-c", str(configuration)])
    try:
        _wait_for_start(port, server)
        yield f"https://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _wait_for_start(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(_START_TRIES):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if server.poll() is not None:
            break
        time.sleep(_START_PAUSE_SECONDS)
    raise OSError("nginx did not start")
