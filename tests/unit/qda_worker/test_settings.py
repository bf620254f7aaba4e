"""The options of `qda-worker serve`: defaults, variables, and wrong values."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from qda_worker.serve_options import Device, Readiness
from qda_worker.settings import (
    AccessSettings,
    ServeSettings,
    TlsFiles,
    add_serve_options,
    read_serve_settings,
)


def read(
    *arguments: str, environ: Mapping[str, str] | None = None, in_container: bool = False
) -> ServeSettings:
    parser = OptionParser(prog="qda-worker")
    add_serve_options(parser)
    return read_serve_settings(parser.parse_args(arguments), environ or {}, in_container=in_container)


def test_defaults_are_those_of_the_contract() -> None:
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
        ("--http-listen", "QDA_HTTP_LISTEN", "[::]:8080", "http_listen"),
        ("--readiness", "QDA_READINESS", "complete", "readiness"),
        ("--drain-delay", "QDA_DRAIN_DELAY", "7s", "drain_delay"),
        ("--shutdown-grace", "QDA_SHUTDOWN_GRACE", "1m", "shutdown_grace"),
        ("--max-connection-age", "QDA_MAX_CONNECTION_AGE", "2h", "max_connection_age"),
        ("--device", "QDA_DEVICE", "cpu", "device"),
        ("--engine", "QDA_ENGINE", "torch", "engine"),
        ("--hub", "HF_ENDPOINT", "http://mirror:1", "hub"),
        ("--wheel-base", "QDA_WHEEL_BASE", "http://mirror:1/w", "wheel_base"),
        ("--stall-timeout", "QDA_STALL_TIMEOUT", "9s", "stall_timeout"),
    ],
)
def test_a_variable_means_the_same_as_its_option(flag: str, variable: str, text: str, field: str) -> None:
    by_flag = getattr(read(flag, text), field)
    assert by_flag == getattr(read(environ={variable: text}), field)
    assert by_flag != getattr(read(), field)


def test_variables_of_tls_reflection_and_calls_mean_the_same_as_options() -> None:
    tls = read("--tls-cert", "c", "--tls-key", "k", "--tls-client-ca", "a").tls
    assert tls == TlsFiles(Path("c"), Path("k"), Path("a"))
    variables = {"QDA_TLS_CERT": "c", "QDA_TLS_KEY": "k", "QDA_TLS_CLIENT_CA": "a"}
    assert read(environ=variables).tls == tls
    assert read().tls is None
    assert read().reflection
    assert not read("--no-reflection").reflection
    assert not read(environ={"QDA_REFLECTION": "false"}).reflection
    assert read("--reflection", environ={"QDA_REFLECTION": "false"}).reflection
    assert read(environ={"QDA_MAX_CALLS": "7"}).max_calls == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", None),
        ("4096", 4096),
        ("500M", 500_000_000),
        ("3k", 3000),
        ("2Ki", 2048),
        ("512Mi", 2**29),
        ("1Gi", 2**30),
    ],
)
def test_the_size_of_the_result_cache(text: str, expected: int | None) -> None:
    assert read().result_cache is None
    assert read("--result-cache", text).result_cache == expected
    assert read(environ={"QDA_RESULT_CACHE": text}).result_cache == expected


@pytest.mark.parametrize("text", ["much", "-1", "1.5Gi", "1 Gi", "1T", "1ki", "1234567890"])
def test_another_size_of_the_result_cache_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a size in bytes as 500M, 512Mi or 2Gi"):
        read("--result-cache", text)


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["--tls-cert", "c"], {}, "without --tls-key"),
        (["--tls-key", "k"], {}, "without --tls-cert"),
        (["--tls-client-ca", "a"], {}, "without --tls-cert"),
        ([], {"QDA_TLS_KEY": "k"}, "QDA_TLS_CERT"),
        ([], {"QDA_REFLECTION": "maybe"}, 'QDA_REFLECTION: found "maybe"'),
        (["--max-calls", "0"], {}, '--max-calls: found "0"'),
        (["--max-calls", "many"], {}, '--max-calls: found "many"'),
        (
            ["--device", "cpu", "--engine", "cuda-tf32"],
            {},
            "engine cuda-tf32 does not compute on the device cpu",
        ),
        (["--engine", "openvino"], {"QDA_DEVICE": "cuda"}, "openvino does not compute on the device cuda"),
    ],
)
def test_an_error_names_the_option(arguments: list[str], environ: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(*arguments, environ=environ)


@pytest.mark.parametrize(
    ("arguments", "environ", "in_container", "fetch"),
    [
        ((), {}, False, True),
        ((), {}, True, False),
        ((), {"HF_HUB_OFFLINE": "1"}, False, False),
        ((), {"QDA_CACHE": "/cache"}, False, False),
        (("--fetch",), {"QDA_CACHE": "/cache"}, True, True),
        (("--no-fetch",), {}, False, False),
    ],
)
def test_the_default_is_to_fetch_only_on_a_host_that_is_online(
    arguments: tuple[str, ...], environ: dict[str, str], in_container: bool, fetch: bool
) -> None:
    assert read(*arguments, environ=environ, in_container=in_container).fetch is fetch


def test_variables_of_access_mean_the_same_as_options() -> None:
    tls = {"QDA_TLS_CERT": "c", "QDA_TLS_KEY": "k", "QDA_TLS_CLIENT_CA": "a"}
    expected = AccessSettings(Path("t"), ("dats", "spiffe://td/a"), 5, 2.5)
    assert read().access == AccessSettings()
    by_options = read(
        *("--tokens", "t", "--allow-client", "dats", "--allow-client", "spiffe://td/a"),
        *("--max-caller-calls", "5", "--caller-texts-per-second", "2.5"),
        environ=tls,
    )
    assert by_options.access == expected
    variables = {
        "QDA_TOKENS": "t",
        "QDA_ALLOW_CLIENTS": " dats,spiffe://td/a, ,dats",
        "QDA_MAX_CALLER_CALLS": "5",
        "QDA_CALLER_TEXTS_PER_SECOND": "2.5",
    }
    assert read(environ=tls | variables).access == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--allow-client", "dats"], "--allow-client .* without --tls-client-ca"),
        (["--max-caller-calls", "0"], '--max-caller-calls: found "0"'),
        *(
            (["--caller-texts-per-second", text], "a number above 0")
            for text in ("0", "-1", "nan", "1e9", "")
        ),
    ],
)
def test_wrong_values_of_access_are_explained(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(*arguments)


def test_origins_are_given_one_by_one_or_in_one_variable() -> None:
    given = ("https://qda.example.org", "http://localhost:5173")
    flags = [part for origin in given for part in ("--http-cors-origin", origin)]
    assert read(*flags).http_cors_origins == given
    assert read(environ={"QDA_HTTP_CORS_ORIGINS": " https://qda.example.org, http://localhost:5173"}) == read(
        *flags
    )
    assert read("--http-cors-origin", "*").http_cors_origins == ("*",)
    assert read().http_cors_origins == ()


@pytest.mark.parametrize(
    "origin", ["qda.example.org", "https://qda.example.org/", "https://u@a", "null", "https://a b"]
)
def test_an_origin_that_a_browser_does_not_send_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="--http-cors-origin") as caught:
        read("--http-cors-origin", origin)
    assert "https://qda.example.org, or *" in caught.value.remedy
