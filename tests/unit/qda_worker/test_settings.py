"""Options and variables of `qda-worker serve`, and what the program refuses before it loads anything."""

import subprocess
import sys
from collections.abc import Mapping

import pytest

from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from qda_worker.addresses import Address, parse_address
from qda_worker.cli import in_container, qda_worker
from qda_worker.settings import Device, Readiness, ServeSettings, add_serve_options, read_serve_settings


def read(
    *arguments: str, environ: Mapping[str, str] | None = None, in_container: bool = False
) -> ServeSettings:
    parser = OptionParser(prog="qda-worker")
    add_serve_options(parser)
    return read_serve_settings(parser.parse_args(arguments), environ or {}, in_container=in_container)


def test_defaults_are_the_contracts() -> None:
    settings = read()
    assert str(settings.listen) == "127.0.0.1:50051"
    assert (settings.health_listen, settings.metrics_listen) == (None, None)
    assert (settings.readiness, settings.device) == (Readiness.LOADED, Device.AUTO)
    assert (settings.drain_delay, settings.shutdown_grace, settings.max_connection_age) == (5.0, 25.0, 900.0)
    assert settings.on_host


@pytest.mark.parametrize(
    ("flag", "variable", "text", "field"),
    [
        ("--listen", "QDA_LISTEN", "[::]:50051", "listen"),
        ("--health-listen", "QDA_HEALTH_LISTEN", "[::]:50052", "health_listen"),
        ("--metrics-listen", "QDA_METRICS_LISTEN", "[::]:9464", "metrics_listen"),
        ("--readiness", "QDA_READINESS", "complete", "readiness"),
        ("--drain-delay", "QDA_DRAIN_DELAY", "7s", "drain_delay"),
        ("--shutdown-grace", "QDA_SHUTDOWN_GRACE", "1m", "shutdown_grace"),
        ("--max-connection-age", "QDA_MAX_CONNECTION_AGE", "2h", "max_connection_age"),
        ("--device", "QDA_DEVICE", "cpu", "device"),
        ("--hub", "HF_ENDPOINT", "http://mirror:1", "hub"),
        ("--wheel-base", "QDA_WHEEL_BASE", "http://mirror:1/w", "wheel_base"),
        ("--stall-timeout", "QDA_STALL_TIMEOUT", "9s", "stall_timeout"),
    ],
)
def test_a_variable_means_the_same_as_its_option(flag: str, variable: str, text: str, field: str) -> None:
    by_flag = getattr(read(flag, text), field)
    assert by_flag == getattr(read(environ={variable: text}), field)
    assert by_flag != getattr(read(), field)


@pytest.mark.parametrize(
    ("arguments", "environ", "contained", "fetches"),
    [
        ((), {}, False, True),
        ((), {}, True, False),
        ((), {"HF_HUB_OFFLINE": "1"}, False, False),
        ((), {"QDA_CACHE": "/cache"}, False, False),
        (("--fetch",), {"QDA_CACHE": "/cache"}, True, True),
        (("--no-fetch",), {}, False, False),
    ],
)
def test_it_fetches_by_itself_only_on_a_host_that_is_online(
    arguments: tuple[str, ...], environ: dict[str, str], contained: bool, fetches: bool
) -> None:
    assert read(*arguments, environ=environ, in_container=contained).fetch is fetches


def test_kubernetes_is_a_container() -> None:
    assert in_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::]:50051", Address("::", 50051)),
        ("localhost:65535", Address("localhost", 65535)),
        ("unix:/run/qda.sock", Address("unix:/run/qda.sock", None)),
    ],
)
def test_addresses_are_read_and_written_alike(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "50051", ":50051", "host:", "host:http", "::1:50051", "host:65536", "host:-1"]
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:50051"):
        parse_address(text)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["serve", "--lisen", "x"], "did you mean --listen?"),
        (["serve", "--device", "cdua"], 'did you mean "cuda"'),
        (["serve", "--drain-delay", "soon"], "5s"),
        (["serve", "--check-interval", "0"], "longer than 0"),
        (["sevre"], 'did you mean "serve"'),
        (["prepare", "--model", "x"], "prepare does not exist in this version"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_command_line_is_one_clear_error(arguments: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        qda_worker(arguments, {})
    assert hint in str(caught.value)
    assert "Remedy: " in str(caught.value)


def test_a_missing_extra_is_a_usage_error_and_help_needs_none() -> None:
    blind = (
        "import sys\n"
        "class Hiding:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def find_spec(self, name, *more):\n"
        "        hidden = name in {'torch', 'structlog', 'spacy', 'grpc_health'}\n"
        "        return None if hidden else self.finder.find_spec(name, *more)\n"
        "sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]\n"
        "from qda_worker.cli import main\n"
        "sys.argv[1:] = {arguments!r}\n"
        "main()\n"
    )
    for arguments, code in ((["serve", "--help"], 0), (["--version"], 0), (["serve"], 2)):
        program = blind.replace("{arguments!r}", repr(arguments))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
