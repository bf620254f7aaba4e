"""The rules of tests/conftest.py, checked with generated tests."""

import os
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Final

import pytest

pytest_plugins = ["pytester"]

ROOT: Final = Path(__file__).parents[3]
LEAN: Final = (
    "-p",
    "no:randomly",
    "-p",
    "no:hypothesispytest",
)  # the former's seeding imports torch, four seconds a run


@pytest.fixture
def run_in_ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a folder of tests under our conftest, with CI set."""
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # it imports tests.support
    monkeypatch.setenv("CI", "true")
    return pytester


@pytest.mark.parametrize(
    "skipping",
    [
        "def test_it(): pytest.skip('no scales')",
        "@pytest.mark.skip(reason='no scales')\ndef test_it(): pass",
        "@pytest.mark.skipif(True, reason='no scales')\ndef test_it(): pass",
        "@pytest.fixture\ndef scales(): pytest.skip('no scales')\ndef test_it(scales): pass",
        "pytest.skip('no scales', allow_module_level=True)",
    ],
)
def test_a_skip_fails_in_ci_with_its_reason(run_in_ci: pytest.Pytester, skipping: str) -> None:
    run_in_ci.makepyfile(f"import pytest\n{skipping}")
    result = run_in_ci.runpytest_subprocess(*LEAN)
    assert result.ret != 0
    result.stdout.fnmatch_lines("*CI skips nothing in silence, and this was skipped: *no scales*")


def test_programs_can_be_interrupted_even_if_the_shell_ignores_sigint(
    run_in_ci: pytest.Pytester,
) -> None:
    run_in_ci.makepyfile("""
        import signal, subprocess, sys
        def test_it():
            asked = [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"]
            assert subprocess.check_output(asked, text=True) == "False\\n"
    """)
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "os.execv(sys.executable, sys.argv[1:])"
    )
    done = run_in_ci.run(sys.executable, "-c", ignoring, sys.executable, "-m", "pytest", *LEAN)
    assert done.ret == 0


def test_an_expected_failure_is_no_skip(run_in_ci: pytest.Pytester) -> None:
    run_in_ci.makepyfile("import pytest\n@pytest.mark.xfail(reason='known')\ndef test_it(): assert False")
    assert run_in_ci.runpytest_subprocess(*LEAN).ret == 0


def test_outside_ci_a_skip_is_only_a_skip(
    run_in_ci: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI")
    run_in_ci.makepyfile("import pytest\ndef test_it(): pytest.skip('no scales')")
    result = run_in_ci.runpytest_subprocess(*LEAN)
    result.assert_outcomes(skipped=1)


def test_another_machine_is_out_of_reach() -> None:
    with pytest.raises(RuntimeError, match=r"wanted 192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(RuntimeError, match=r"wanted example\.org"):
        urllib.request.urlopen("http://example.org/", timeout=1)


def test_this_machine_is_in_reach() -> None:
    with socket.create_server(("localhost", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()


def test_variables_that_select_cache_folders_are_not_inherited(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "QDA_CACHE", "XDG_CACHE_HOME", "https_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    pytester.makepyfile(
        """
        import os
        seen_at_import = dict(os.environ)
        def test_it():
            for seen in (seen_at_import, os.environ):
                assert "/somewhere" not in seen.values()
        """
    )
    pytester.runpytest_subprocess(*LEAN).assert_outcomes(passed=1)


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_begins_with_an_empty_home_and_leaves_no_variable(turn: int) -> None:
    assert not list(Path.home().iterdir())
    assert "QDA_LEFT_BEHIND" not in os.environ
    os.environ["QDA_LEFT_BEHIND"] = str(turn)
    (Path.home() / "left-behind").touch()
