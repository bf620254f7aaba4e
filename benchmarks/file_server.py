"""A fast local HTTP server with ranges for the benchmarks: nginx if it is installed, else a double of the hub."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CONFIGURATION: Final = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; default_type application/octet-stream;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{
    listen 127.0.0.1:{port};
    location ~ ^/lfs/[^/]+/(?<file>.+)$ {{ root {root}; limit_rate {rate}; try_files /$file =404; }}
  }}
}}
"""


def nginx() -> str | None:
    """Return the program, if it is installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def serving(root: Path, folder: Path, megabytes_a_second: int = 0) -> Iterator[str]:
    """Serve `/lfs/SHA256/PATH` from `root/PATH` by nginx, as the hub's second host does; yield the address.

    Each connection gets so many MB a second; 0: what it can take.
    """
    program = nginx()
    assert program is not None  # the caller has asked
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(
        "user root;" * (_is_root())
        + _CONFIGURATION.format(folder=folder, root=root, port=port, rate=f"{megabytes_a_second}m")
    )
    server = subprocess.Popen([program, "-p", str(folder), "-c", str(configuration)])
    try:
        _await(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _is_root() -> bool:
    import os

    return hasattr(os, "geteuid") and os.geteuid() == 0


def _await(port: int, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise OSError("nginx did not start")
