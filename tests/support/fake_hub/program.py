"""The fake hub as a program, for use in another process or in a pod."""

import argparse
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from .certificate import Certificate
from .repository import repositories_below
from .server import FakeHub


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. The first line on stdout has the addresses, once it listens."""
    options = _parser().parse_args(arguments)
    if not options.root.is_dir():
        _parser().error(f"--root: no such folder: {options.root}")
    if (options.certificate is None) != (options.key is None):
        _parser().error("--certificate and --key go together")
    repositories = list(repositories_below(options.root))
    wheels = sorted(options.root.glob("wheels/*.whl"))
    fake_hub = FakeHub(
        repositories,
        wheels,
        listen=options.listen,
        storage_listen=options.second_listen,
        storage_host=options.second_host,
        base_url=options.base_url,
        storage_url=options.second_url,
        prefix=options.prefix,
        tls=Certificate(options.certificate, options.key) if options.certificate else None,
        log_file=options.log,
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with fake_hub:
        print(f"hub {fake_hub.url} storage {fake_hub.storage_url}", flush=True)
        for repository in repositories:
            print(f"  {repository.id} {repository.commit} {' '.join(repository.branches)}", flush=True)
        for wheel in wheels:
            print(f"  {wheel.name}", flush=True)
        stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fake-hub",
        description="Serve folders as the Hugging Face hub would. Faults: POST /__faults__.",
    )
    parser.add_argument("--root", type=Path, required=True, help="folder with models/ORG/NAME/ and wheels/")
    parser.add_argument("--listen", default="127.0.0.1:8001", help="HOST:PORT of the hub (%(default)s)")
    parser.add_argument(
        "--second-listen", metavar="HOST:PORT", help="redirect files under LFS to this second listener"
    )
    parser.add_argument(
        "--second-host", help="its name in redirects (default: that of the request's Host header)"
    )
    parser.add_argument("--second-url", help="its whole address in redirects")
    parser.add_argument("--base-url", help="the hub's address in page links (default: from the Host header)")
    parser.add_argument("--prefix", default="", help="path below which the hub lies, such as /mirror")
    parser.add_argument("--log", type=Path, help="append a line of JSON for each request to this file")
    parser.add_argument("--certificate", type=Path, help="serve HTTPS with this certificate (PEM)")
    parser.add_argument("--key", type=Path, help="its key (PEM)")
    return parser
