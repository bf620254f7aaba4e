"""One process that runs spaCy, as the worker sees it: its pipes, its load, its end. `spacy_process` is its program.

`send` and `receive` are for one thread at a time and block. `kill` may be called by any thread and ends both. `close`
also releases the pipes; before that, a thread that sends or receives must be ended by `kill`, because it holds the lock
of its pipe.
"""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, Final

from qda_worker.cpu import configure_math_libraries
from qda_worker.errors import LoadInterrupted, ModelUnusable
from qda_worker.models import spacy_process
from qda_worker.models.spacy_protocol import PipelineInfo, read_frame, write_frame

# How long the process may take to exit after its input has ended, in seconds. Then it is killed.
_EXIT_SECONDS: Final = 5.0
# Exit status of a process that was ended by SIGKILL, whose name Windows does not know.
_KILLED: Final = -9
# Each batch takes some MB and frees them at its end. By default glibc gives them back to the kernel at once, which
# zeroes them again for the next batch: a tenth of the time of a text (measured). These are its greatest size of a block
# on the heap, and the free bytes at the end of the heap above which it gives back.
_HEAP_VARIABLES: Final = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}

_LOG: Final = logging.getLogger(__name__)


class SpacyChild:
    """One process of a pipeline.

    Attributes:
        answered: whether it has answered a request.
        killed_because: why this program killed it, as a predicate ("was killed because …"); None if it did not.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        """Start the process, which then loads its pipeline.

        Args:
            folder: folder of the pipeline.
            threads: number of threads of the numeric libraries in the process.

        Raises:
            OSError: when no process can be started.
        """
        environ = dict(os.environ)
        configure_math_libraries(environ, threads)
        for variable, value in _HEAP_VARIABLES.items():
            environ.setdefault(variable, value)
        # -P keeps the folder of the program off sys.path, so that its modules cannot hide installed ones.
        self._process = subprocess.Popen(
            [sys.executable, "-P", spacy_process.__file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
        )
        self._requests = _require_pipe(self._process.stdin)
        self._answers = _require_pipe(self._process.stdout)
        self.answered = False
        self.killed_because: str | None = None

    @property
    def killed_from_outside(self) -> bool:
        """Whether another program or the kernel has killed it."""
        return self._process.returncode == _KILLED and self.killed_because is None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def load(self, seconds: float) -> PipelineInfo:
        """Wait until the pipeline has loaded. If it does not load, the process has ended.

        Raises:
            ModelUnusable: when it cannot be loaded.
            LoadInterrupted: when the process ended, or took longer than `seconds`.
        """
        timer = threading.Timer(
            seconds, self.kill, (f"was killed because it had not loaded after {seconds:.0f} s",)
        )
        timer.daemon = True
        timer.start()
        try:
            answer = self.receive()
        finally:
            timer.cancel()
        if answer is not None and "ready" in answer:
            return PipelineInfo(**answer["ready"])
        self.close()
        if answer is None:
            raise LoadInterrupted(
                self.wait(), "see the log for the reason; does the process have enough memory?"
            )
        raise ModelUnusable(answer["unusable"]["message"], answer["unusable"]["remedy"])

    def send(self, request: dict[str, Any]) -> bool:
        """Send a request. Return False if the process ended before it had received all of it."""
        try:
            write_frame(self._requests, request)
        except (OSError, ValueError):  # the pipe broke, or was closed by `close`
            return False
        return True

    def receive(self) -> dict[str, Any] | None:
        """Wait for a frame and return it; None if the process has ended."""
        try:
            answer = read_frame(self._answers)
        except (OSError, ValueError):  # closed by `close`, or not a frame
            return None
        self.answered = self.answered or (answer is not None and "found" in answer)
        return answer

    def wait(self) -> str:
        """Wait for the end of the process and return how it ended."""
        code = self._process.wait()
        if self.killed_because is not None:
            return f"the spaCy process {self.pid} {self.killed_because}"
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        hint = ", perhaps for lack of memory" if code == _KILLED else ""
        return f"the spaCy process {self.pid} ended {how}{hint}"

    def end(self) -> str:
        """End the process, whose pipes have broken, and return how it ended."""
        self.close()
        return self.wait()

    def kill(self, because: str) -> None:
        """Kill the process, if it has not ended, and note why."""
        if self._process.poll() is None:
            self.killed_because = self.killed_because or because
            self._process.kill()

    def close(self) -> None:
        """Close its input, wait `_EXIT_SECONDS`, then kill it. A second call does nothing."""
        try:
            self._requests.close()
        except OSError:
            _LOG.debug("the spaCy process had closed its input already", exc_info=True)
        try:
            self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill(f"was killed because it had not exited after {_EXIT_SECONDS:.0f} s")
            self._process.wait()
        self._answers.close()


def _require_pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ModelUnusable("its process has no pipes", "report this as a bug")
    return stream
