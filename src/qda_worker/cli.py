"""The program `qda-worker`: parses the command line and starts `serve` or `prepare`.

Options are checked and missing packages are reported before anything heavy is imported: a wrong option is reported at
once, and `--help` works without the worker extra.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from model_cache.cli.parser import OptionParser
from model_cache.cli.program import run
from model_cache.errors import ModelCacheError, UsageError
from model_cache.explanations import error_lines
from model_cache.prepared_failure import FormFailure, write_failure
from qda_worker.cpu import configure_math_libraries
from qda_worker.offline import OFFLINE
from qda_worker.prepare.settings import (
    PrepareSettings,
    add_prepare_options,
    read_prepare_settings,
    require_prepare_extra,
)
from qda_worker.settings import add_serve_options, read_serve_settings

PROGRAM: Final = "qda-worker"
# The packages of the worker extra that `serve` imports.
WORKER_EXTRA: Final = (
    "cryptography", "grpc_health", "grpc_reflection", "h11", "numpy", "prometheus_client", "safetensors",
    "sentence_transformers", "spacy", "structlog", "torch", "transformers",
)  # fmt: skip
# Files that Docker and Podman put into a container.
_CONTAINER_FILES: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))


def main() -> NoReturn:
    """Run `qda-worker` with the arguments of this process and exit."""
    # gRPC's own log lines about failed connections are not structured, and any client could fill the log with them.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    run(qda_worker, name=PROGRAM)


def qda_worker(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run a command and return its exit code.

    Raises:
        ModelCacheError: the command line is wrong, or the command failed.
    """
    arguments = _parser().parse_args(argv)
    if arguments.command == "prepare":
        return _prepare(read_prepare_settings(arguments, environ), environ)
    settings = read_serve_settings(arguments, environ, in_container=in_container(environ))
    require_worker_extra()
    configure_math_libraries(os.environ, settings.cpu.threads)
    from qda_worker.server.worker import serve  # imports the packages of the worker extra

    return serve(settings, environ)


def _prepare(settings: PrepareSettings, environ: Mapping[str, str]) -> int:
    try:
        require_worker_extra()
        require_prepare_extra(settings.precision)
        os.environ.update(OFFLINE)
        configure_math_libraries(os.environ, settings.cpu.threads)
        from qda_worker.prepare.cli import prepare  # imports torch

        return prepare(settings, environ)
    except ModelCacheError as error:
        if settings.failure is None:
            raise
        failure = FormFailure(settings.key, settings.precision, error.reason, error.message, error.remedy)
        write_failure(settings.failure, failure)
        sys.stderr.write(error_lines(PROGRAM, str(error), error.reason))
        return 0


def require_worker_extra() -> None:
    """Check that the packages of the worker extra are installed, without importing them.

    Raises:
        UsageError: a package is missing.
    """
    missing = [package for package in WORKER_EXTRA if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"not installed: {', '.join(missing)}",
            'install the worker extra: pip install "qda-worker[worker]"',
        )


def in_container(environ: Mapping[str, str]) -> bool:
    """Return whether this process runs in a container of Docker, Podman or Kubernetes."""
    return "KUBERNETES_SERVICE_HOST" in environ or any(file.exists() for file in _CONTAINER_FILES)


def _parser() -> OptionParser:
    parser = OptionParser(
        prog=PROGRAM, description="Sentiment, entities, embeddings and paraphrases over gRPC and HTTP."
    )
    parser.add_version()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serve_parser = commands.add_parser(
        "serve",
        help="serve the models over gRPC",
        description="Serve the models of the catalog over gRPC, and over HTTP if it is asked for, from the cache.",
    )
    add_serve_options(serve_parser)
    prepare_parser = commands.add_parser(
        "prepare",
        help="make a model's form in bf16 or int8",
        description="Make a prepared form of a model in bf16 or int8 from its files in the cache, offline, and measure "
        "how close its answers are to fp32. `cache-warmer publish DIR` puts the form into the cache. Exit codes: 10 "
        "the model is not in the cache, 12 it cannot be loaded, or this machine cannot compute in that precision, 14 "
        "no variant passed the accuracy gate, 30 no space; the others are those of cache-warmer.",
    )
    add_prepare_options(prepare_parser)
    parser.add_completion(commands)
    return parser
