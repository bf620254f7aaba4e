"""A fake of the Hugging Face hub, for tests, the demo and clusters without the internet.

It needs the standard library only. It serves the unmodified `huggingface_hub` client: model info, revisions,
trees in pages, paths-info, the owner of a token, resolve with the hub's headers, large files redirected to a second
host, ranges; and it serves wheels. It can inject faults, and it keeps a log of all requests.

In a test:

    with FakeHub([Repository("org/name", {"config.json": path})], wheels=[wheel]) as hub:
        hub.faults.add(Fault(FaultKind.RESET, path="model.safetensors", after=1000, times=1))
        snapshot_download("org/name", endpoint=hub.url, cache_dir=cache)
        assert hub.log.requests("*/config.json", method="GET")

As a program, with faults and the log over HTTP (README.md beside this file has all options and addresses):

    python -m tests.support.fake_hub --root FOLDER --listen 127.0.0.1:8001 --second-listen 127.0.0.1:8002
    curl -d '{"kind": "status", "status": 503, "path": "*/tree/*", "times": 2}' 127.0.0.1:8001/__faults__
    curl 127.0.0.1:8001/__log__

One subject a module, from the sockets inwards: `listener` and `connection` (sockets), `delivery` (one response),
`service` (one request), `faults`, `request_log`, `protocol` and `documents` (the hub's answers), `repository` (files
and hashes), `answer` (values); `server` combines them; `program` and `certificate` are optional.
"""

from .certificate import Certificate, self_signed_certificate
from .faults import Fault, FaultInvalid, FaultKind
from .repository import LfsRule, Repository, repositories_below, repository_from_folder
from .request_log import RequestLog, RequestRecord
from .server import FakeHub

__all__ = [
    "Certificate",
    "FakeHub",
    "Fault",
    "FaultInvalid",
    "FaultKind",
    "LfsRule",
    "Repository",
    "RequestLog",
    "RequestRecord",
    "repositories_below",
    "repository_from_folder",
    "self_signed_certificate",
]
