"""`qda-worker`: `serve` answers over gRPC; `prepare` will make prepared forms.

Nothing heavy is imported before it is known that the command can run: a wrong option answers at once.
"""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from model_cache.cli.options import add_shared_options
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import run
from model_cache.errors import UsageError
from qda_worker.settings import add_serve_options, read_serve_settings

PROGRAM: Final = "qda-worker"
WORKER_EXTRA: Final = (
    "cryptography", "grpc_health", "grpc_reflection", "numpy", "prometheus_client", "safetensors",
    "sentence_transformers", "spacy", "structlog", "torch", "transformers",
)  # fmt: skip
_CONTAINER_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))


def main() -> NoReturn:
    """Run `qda-worker` with this process's arguments and exit."""
    # gRPC's own lines about connections that failed are not structured, and whoever knocks could fill the log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    run(qda_worker, name=PROGRAM)


def qda_worker(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run a command and give its exit code. Raises ModelCacheError."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "prepare":
        raise UsageError(
            "prepare does not exist in this version",
            "serve models in fp32, which needs no prepared form: leave serving.precision out of the catalog",
        )
    settings = read_serve_settings(arguments, environ, in_container=in_container(environ))
    require_worker_extra()
    from qda_worker.server.worker import serve  # here: it needs the worker extra

    return serve(settings, environ)


def require_worker_extra() -> None:
    """Raises UsageError where one of the packages that `serve` needs is not installed. Imports none of them."""
    missing = [package for package in WORKER_EXTRA if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"not installed: {', '.join(missing)}",
            'install the worker extra: pip install "qda-worker[worker]"',
        )


def in_container(environ: Mapping[str, str]) -> bool:
    """Whether this process runs in a container of Docker, Podman or Kubernetes."""
    return "KUBERNETES_SERVICE_HOST" in environ or any(mark.exists() for mark in _CONTAINER_MARKS)


def _parser() -> OptionParser:
    parser = OptionParser(
        prog=PROGRAM, description="Sentiment, entities, embeddings and paraphrases over gRPC."
    )
    parser.add_version()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serve_parser = commands.add_parser(
        "serve",
        help="answer over gRPC",
        description="Answer over gRPC with the models of the catalog, from the cache.",
    )
    add_serve_options(serve_parser)
    prepare = commands.add_parser(
        "prepare",
        help="make a prepared form of a model (not in this version)",
        description="Make a prepared form of a model, with its accuracy gate's figures. Not in this version.",
    )
    add_shared_options(prepare)
    prepare.add_argument("--precision", metavar="bf16|int8", help="what the form computes in")
    prepare.add_argument("--out", metavar="DIR", help="where to write it")
    return parser
