"""How programs end: messages, remedies and exit codes of errors, signals and closed streams."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from model_cache.cli.program import run_main, wants_json
from model_cache.errors import ModelCacheError, UsageError
from model_cache.explanations import explanation_hint, hint_line
from model_cache.reasons import Reason


def raising(error: BaseException) -> Callable[[Sequence[str]], int]:
    def main(_argv: Sequence[str]) -> int:
        raise error

    return main


def test_the_exit_code_of_main_is_returned() -> None:
    assert run_main(len, ["a", "b"], name="p", environ={}) == 2


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.OK])
def test_an_error_is_printed_with_reason_message_and_remedy(
    reason: Reason, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ModelCacheError("it broke", "mend it", reason=reason)
    assert run_main(raising(error), [], name="p", environ={}) == reason.exit_code
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"p: {reason}: it broke. Remedy: mend it\n{hint_line(reason)}")


@pytest.mark.parametrize(
    ("argv", "environ"),
    [
        (["--format", "json"], {}),
        (["--format=json"], {"QDA_FORMAT": "table"}),
        ([], {"QDA_FORMAT": "json"}),
    ],
)
def test_with_json_the_error_is_a_document_on_stdout_too(
    argv: list[str], environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run_main(raising(UsageError("no", "yes")), argv, name="p", environ=environ)
    out, err = capsys.readouterr()
    help_ = explanation_hint("USAGE")
    assert json.loads(out) == {"reason": "USAGE", "message": "no", "remedy": "yes", "help": help_}
    assert err == "p: USAGE: no. Remedy: yes\n"


def test_a_format_flag_without_a_value_is_not_json() -> None:
    assert not wants_json(["--format"], {"QDA_FORMAT": "json"})


def test_the_format_of_an_output_file_says_nothing_about_that_of_the_result() -> None:
    assert wants_json(["--format", "oci-image", "--format", "json"], {})
    assert wants_json(["--format=json", "--format=oci-image"], {})
    assert wants_json(["--format", "oci-image"], {"QDA_FORMAT": "json"})
    assert not wants_json(["--format", "oci-image"], {})


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, Reason.NO_SPACE),
        (errno.EDQUOT, Reason.NO_SPACE),
        (errno.EROFS, Reason.NO_PERMISSION),
        (errno.EACCES, Reason.NO_PERMISSION),
        (errno.EIO, Reason.NO_PERMISSION),
        (errno.EXDEV, Reason.INTERNAL),
    ],
)
def test_a_failed_system_call_has_the_reason_of_its_errno(
    number: int, reason: Reason, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(number, os.strerror(number), "/cache/f")
    assert run_main(raising(error), [], name="p", environ={}) == reason.exit_code
    assert f"p: {reason}: " in capsys.readouterr().err


def test_a_bug_is_a_short_message_with_the_trace_in_the_log(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert run_main(raising(ZeroDivisionError("by 0")), [], name="p", environ={}) == 50
    assert "p: INTERNAL: a bug: ZeroDivisionError: by 0. Remedy: report it" in capsys.readouterr().err
    assert caplog.records[0].exc_info


def test_ctrl_c_is_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(raising(KeyboardInterrupt()), [], name="p", environ={}) == 130
    assert "INTERRUPTED: stopped by SIGINT" in capsys.readouterr().err


def program(body: str) -> list[str]:
    script = (
        "import sys, time\nfrom model_cache.cli.program import run\n"
        f"def main(argv):\n    {body}\nrun(main, name='p')"
    )
    return [sys.executable, "-c", script]


def test_sigterm_ends_a_program_with_143_and_a_message() -> None:
    body = "print('up', flush=True); time.sleep(60)"
    with subprocess.Popen(
        program(body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        message = process.stderr.read()
        assert process.wait(30) == 143
    assert message.startswith("p: INTERRUPTED: stopped by SIGTERM. Remedy: ")
    assert "Traceback" not in message


def test_a_sigterm_that_a_library_has_handled_as_an_error_counts_all_the_same() -> None:
    body = (
        "import os, signal; from model_cache.cli.program import raise_if_terminated\n"
        "    raise_if_terminated()\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "    except BaseException: print('left out', flush=True)\n"
        "    raise_if_terminated()"
    )
    done = subprocess.run(program(body), capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (143, "left out\n")
    assert done.stderr.startswith("p: INTERRUPTED: stopped by SIGTERM. Remedy: ")


def test_a_closed_pipe_on_stdout_is_not_an_error() -> None:
    body = "[print('x' * 1000) for _ in range(10000)]; return 0"
    with subprocess.Popen(program(body), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            program("print('x'); return 0"), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == Reason.NO_SPACE.exit_code
    assert b"No space left" in done.stderr


def test_closed_standard_streams_are_accepted() -> None:
    command = [*program("print('x'); print('y', file=sys.stderr); return 7")]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command], check=False)
    assert done.returncode == 7


def test_characters_that_stdout_cannot_encode_are_escaped() -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        program(r"print('\u00e4 \udcff'); return 0"), capture_output=True, env=environ, check=True
    )
    assert done.stdout == b"\\xe4 \\udcff\n"


@pytest.mark.parametrize("limit", [100_000, 100_001])
def test_without_a_buffer_a_long_text_that_does_not_fit_is_an_error(tmp_path: Path, limit: int) -> None:
    """With PYTHONUNBUFFERED, Python itself drops what one system call does not take."""
    with (tmp_path / "output").open("wb") as output:
        ended = subprocess.run(
            program("sys.stdout.write('x' * 300_000); return 0"),
            stdout=output, stderr=subprocess.PIPE, text=True, timeout=30, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )  # fmt: skip
    assert ended.returncode == 30
    message, hint = ended.stderr.splitlines(keepends=True)
    assert message.startswith("p: NO_SPACE: ")
    assert hint == hint_line("NO_SPACE")


def test_an_error_is_reported_although_its_document_cannot_be_written() -> None:
    body = "sys.stdout.write('x' * 300_000); return 0"
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [*program(body), "--format", "json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode == 30
    assert "No space left" in ended.stderr.removesuffix(hint_line("NO_SPACE"))
    assert ended.stderr.removesuffix(hint_line("NO_SPACE")).count("\n") == 1
