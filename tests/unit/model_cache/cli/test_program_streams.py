"""Messages and logs of programs: what cannot be written is dropped, what is written cannot harm a terminal."""

import io
import logging
import os
import sys

import pytest

from model_cache.cli.program import best_effort, run_main, set_up_logging
from model_cache.errors import ModelCacheError
from model_cache.explanations import hint_line


class BrokenStream(io.StringIO):
    """A stream whose reader has gone; it counts the attempts."""

    attempts = 0

    def write(self, text: str) -> int:
        self.attempts += 1
        raise BrokenPipeError(32, "Broken pipe")


def test_a_failure_to_write_is_ignored_and_nothing_is_tried_again() -> None:
    broken = BrokenStream()
    stream = best_effort(broken)
    assert stream.write("four") == 4
    stream.writelines(["a", "b"])
    print("c", file=stream, flush=True)
    assert broken.attempts == 1


def test_a_closed_stream_is_ignored() -> None:
    closed = io.StringIO()
    closed.close()
    stream = best_effort(closed)
    stream.write("x")
    stream.flush()


def test_the_rest_of_the_buffer_goes_to_the_null_device() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with open(descriptor, "w", encoding="utf-8", buffering=1) as full:
        stream = best_effort(full)
        print("lost", file=stream)
        assert os.readlink(f"/proc/self/fd/{descriptor}") == os.devnull


def test_a_stream_that_works_is_passed_on() -> None:
    target = io.StringIO()
    stream = best_effort(target)
    print("a", file=stream)
    assert best_effort(stream) is stream
    assert (target.getvalue(), stream.isatty()) == ("a\n", False)


def test_an_error_is_printed_without_control_characters_and_passwords(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main(_: object) -> int:
        raise ModelCacheError("\x1b[2J/cache/\x9b1m: https://me:secret@hub.test", "mend\u202e it")

    assert run_main(main, [], name="p", environ={}) == 50
    assert capsys.readouterr().err == (
        "p: INTERNAL: \\x1b[2J/cache/\\x9b1m: https://hub.test. Remedy: mend\\u202e it\n"
        + hint_line("INTERNAL")
    )


def test_a_log_record_is_one_clean_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)  # restored afterwards
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    set_up_logging("info")
    log = logging.getLogger("test")
    log.setLevel("INFO")

    log.info("waiting for %s", "a\nOK: forged \x1b[31m http://me:secret@proxy.test:80/")
    try:
        raise ValueError("bad proxy http://me:secret@proxy.test \x1b[31m")
    except ValueError:
        log.exception("failed")

    err = capsys.readouterr().err
    assert "waiting for a\\nOK: forged \\x1b[31m http://proxy.test:80/\n" in err
    assert "ValueError: bad proxy http://proxy.test \\x1b[31m\n" in err
    assert "secret" not in err
