"""The worker's side of the process that runs spaCy (`entity_process`): starting, asking, and noticing its end."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO

from qda_worker.errors import ModelDied, ModelFailed, ModelUnusable
from qda_worker.models import entity_process
from qda_worker.models.entity_process import Found, Passage, Ready, read_frame, write_frame

_LOG = logging.getLogger(__name__)

_END_SECONDS = 5.0
"""How long a process may take to end by itself after its input has ended."""


class EntityProcess:
    """The child process of one pipeline. It ends when this process does, however that ends."""

    def __init__(self, folder: Path, threads: int) -> None:
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        # -P: the folder of the program does not come onto sys.path; nor does anything of the cache.
        self._process = subprocess.Popen(
            [sys.executable, "-P", entity_process.__file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **limits},
        )
        self._requests, self._answers = _piped(self._process.stdin), _piped(self._process.stdout)
        self._closing = threading.Event()
        self._failed = threading.Lock()
        self._watchers: list[Callable[[str], None]] = []
        self.failure: str | None = None
        self.ready = self._first_answer()
        threading.Thread(target=self._watch, name=f"watch-{self._process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Number of the process, for logs and for operators."""
        return self._process.pid

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Has `on_failure` called once when the process dies by itself; at once if it already has."""
        with self._failed:
            if self.failure is None:
                self._watchers.append(on_failure)
                return
        on_failure(self.failure)

    def recognise(self, passages: Sequence[Passage]) -> list[Found]:
        """What spaCy found in each passage.

        Raises ModelFailed if spaCy raised over one of them, ModelDied if the process is gone.
        """
        try:
            write_frame(self._requests, {"passages": [asdict(passage) for passage in passages]})
            answer = read_frame(self._answers)
        except OSError as error:
            raise ModelDied(self._why_it_ended()) from error
        if answer is None:
            raise ModelDied(self._why_it_ended())
        if "error" in answer:
            raise ModelFailed(f"spaCy raised {answer['error']}")
        return [Found(**found) for found in answer["found"]]

    def close(self) -> None:
        """Ends the process: first by the end of its input, then by force."""
        self._closing.set()
        try:
            self._requests.close()
        except OSError:
            _LOG.debug("the entity process had closed its input already", exc_info=True)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _first_answer(self) -> Ready:
        answer = read_frame(self._answers)
        if answer is not None and "ready" in answer:
            return Ready(**answer["ready"])
        self.close()
        if answer is None:
            raise ModelUnusable(self._why_it_ended(), "look for the reason in the log; has it memory enough?")
        raise ModelUnusable(answer["unusable"]["message"], answer["unusable"]["remedy"])

    def _watch(self) -> None:
        self._process.wait()
        if self._closing.is_set():
            return
        with self._failed:
            self.failure = self._why_it_ended()
            watchers = tuple(self._watchers)
        for on_failure in watchers:
            on_failure(self.failure)

    def _why_it_ended(self) -> str:
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        hint = ", perhaps for want of memory" if code == -9 else ""
        return f"the spaCy process {self._process.pid} ended {how}{hint}"


def _piped(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ModelUnusable("its process has no pipes", "report this")
    return stream
