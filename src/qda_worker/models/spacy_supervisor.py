"""The worker's side of the process that runs spaCy: it sends requests, and starts the process again when it dies.

`SpacyProcess` is what the model sees: the process that runs at the moment (`spacy_child`), or the wait for the next
one.

Threads: the compute thread of the model is the only one that sends requests, one at a time, and blocks until the
response arrives. A supervisor thread waits for the end of the process and starts the next one. Any thread may read the
state, and abort a request.

Failure:

- spaCy raises: the response names the exception, and only that batch fails (ModelFailed).
- The process ends, by a crash, a signal or for lack of memory: a request that it has received raises BatchLost, after
  which the queue tries its texts one by one. The next request waits for the new process. A process that has answered
  nothing is replaced after a growing delay (`_RESTART_DELAYS`), so that a crash at every text does not keep a processor
  busy.
- The process ends while it is idle: the next request waits for the new process and is not lost.
- A computation hangs: `abort` kills the process, and it goes on as above.
- The process ends or hangs while it loads: it is started again. If the pipeline does not load after several attempts,
  the constructor raises LoadInterrupted. Later, requests raise ModelDied and the callbacks of `watch` are called; the
  registry then loads the model as a whole, and reports why it cannot.

When the worker ends, even by SIGKILL, the child sees the end of its standard input and exits.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from qda_worker.errors import BatchLost, LoadInterrupted, ModelDied, ModelFailed, ModelUnusable
from qda_worker.models.spacy_child import SpacyChild
from qda_worker.models.spacy_protocol import Passage, PassageResult, PipelineInfo, decode_results

# How long a pipeline may take to load, in seconds. Then the process is killed. A large one takes ten seconds, and some
# minutes for the first time from a slow volume.
_FIRST_LOAD_SECONDS: Final = 600.0
# The same once it has been loaded: at least so long, and so many times the duration of the first load.
_LOAD_SECONDS: Final = 60.0
_LOAD_TIMES_FIRST: Final = 10.0
# Seconds before each start that follows a process without a single answer; the last one repeats. A process that has
# answered something is replaced at once.
_RESTART_DELAYS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
# Consecutive loads that may fail before the model counts as dead.
MAX_FAILED_LOADS: Final = 5
# Processes that a request is sent to if they have ended before they received it.
_MAX_SENDS: Final = 3

_LOG: Final = logging.getLogger(__name__)


class SpacyProcess:
    """The process of one pipeline, as the model sees it.

    Attributes:
        pipeline: facts about the loaded pipeline.
    """

    def __init__(
        self,
        folder: Path,
        threads: int,
        *,
        restart_delays: Sequence[float] = _RESTART_DELAYS,
        min_load_seconds: float = _LOAD_SECONDS,
    ) -> None:
        """Start the process and wait until the pipeline has loaded.

        Args:
            folder: folder of the pipeline.
            threads: number of threads of the numeric libraries in the process.
            restart_delays: seconds before each start that follows a process without an answer; the last one repeats.
            min_load_seconds: seconds that each load but the first one may take at least.

        Raises:
            ModelUnusable: when the pipeline cannot be loaded.
            LoadInterrupted: when its process ended or hung at every attempt to load it.
        """
        self._folder, self._threads, self._restart_delays = folder, threads, tuple(restart_delays)
        self._changed = threading.Condition()  # guards everything below
        self._closing = False
        self._watchers: list[Callable[[str], None]] = []
        self._failure: str | None = None
        self._away_since: float | None = None
        self._asked_since: float | None = None
        self._loading: SpacyChild | None = None
        self._child: SpacyChild | None = None
        self._load_limit = _FIRST_LOAD_SECONDS
        child, self.pipeline = self._load_first(min_load_seconds)
        self._child = child
        threading.Thread(
            target=self._supervise, args=(child,), name=f"supervise-{folder.name}", daemon=True
        ).start()

    @property
    def failure(self) -> str | None:
        """Why there is no process and will not be another one; None otherwise."""
        return self._failure

    @property
    def pid(self) -> int | None:
        """Process id, for logs and operators; None while there is no process."""
        child = self._child
        return None if child is None else child.pid

    @property
    def away_seconds(self) -> float:
        """For how long there has been no process that can compute; 0 while there is one."""
        since = self._away_since
        return 0.0 if since is None else time.monotonic() - since

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Register a callback for the end of the last process.

        Args:
            on_failure: called once with the reason, from the supervisor thread; at once if that has happened already.
        """
        with self._changed:
            if self._failure is None:
                self._watchers.append(on_failure)
                return
        on_failure(self._failure)

    def analyze(self, passages: Sequence[Passage]) -> list[PassageResult]:
        """Return what spaCy finds in each passage. Blocks, also while a process starts; for one thread at a time.

        Raises:
            ModelFailed: when spaCy raised for one of the passages.
            BatchLost: when the process ended during the request.
            ModelDied: when there will not be a process again.
        """
        request = {"passages": [asdict(passage) for passage in passages]}
        sends = 0
        while True:
            child = self._wait_for_child()
            try:
                sent = child.send(request)
                answer = child.receive() if sent else None
            finally:
                with self._changed:
                    self._asked_since = None
            if answer is not None:
                break
            reason = child.end()
            with self._changed:
                # The supervisor may not have seen it yet, and the next request must not be sent to it.
                if self._child is child:
                    self._set_away()
            sends += 1
            if sent or sends == _MAX_SENDS:
                raise BatchLost(reason, from_outside=child.killed_from_outside)
        if "error" in answer:
            raise ModelFailed(f"spaCy raised {answer['error']}")
        return decode_results(answer)

    def abort(self, seconds: float) -> None:
        """Kill the process if its request has been running for at least so many seconds."""
        with self._changed:
            since, child = self._asked_since, self._child
        if child is not None and since is not None and time.monotonic() - since >= seconds:
            _LOG.error("the spaCy process %s has not answered for %.0f s and is killed", child.pid, seconds)
            child.kill(f"was killed because it had not answered for {seconds:.0f} s")

    def close(self) -> None:
        """End the process. A second call does nothing.

        An idle process has some seconds to end by itself. One that computes or loads is killed: nobody waits for it,
        and a hung one would not end.
        """
        with self._changed:
            self._closing = True
            child, loading, busy = self._child, self._loading, self._asked_since is not None
            self._changed.notify_all()
        if loading is not None:
            loading.kill("was closed while it loaded")
        if child is not None:
            if busy:
                child.kill("was closed while it computed")
            child.close()

    def _wait_for_child(self) -> SpacyChild:
        with self._changed:
            self._changed.wait_for(
                lambda: self._child is not None or self._failure is not None or self._closing
            )
            if self._child is None or self._closing:
                raise ModelDied(self._failure or "the spaCy process was closed")
            self._asked_since = time.monotonic()
            return self._child

    def _set_away(self) -> None:
        """Note that there is no process. The caller must hold the lock."""
        self._child = None
        if self._away_since is None:
            self._away_since = time.monotonic()

    def _supervise(self, child: SpacyChild) -> None:
        try:
            self._replace_forever(child)
        except Exception as error:  # noqa: BLE001  # without this thread, requests would wait for ever
            _LOG.debug("the supervisor of a spaCy process failed", exc_info=True)
            self._fail(f"its supervisor ended by {type(error).__name__}")

    def _replace_forever(self, child: SpacyChild) -> None:
        """Wait for the end of the process and start the next one, until closed or given up."""
        unanswered = 0  # processes in a row that answered nothing
        while True:
            reason = child.wait()
            with self._changed:
                if self._closing:
                    return
                self._set_away()
            child.close()  # its pipes
            unanswered = 0 if child.answered else unanswered + 1
            _LOG.warning("%s; it is started again", reason)
            successor = self._start_successor(unanswered)
            if successor is None:
                return
            child = successor

    def _load_first(self, min_load_seconds: float) -> tuple[SpacyChild, PipelineInfo]:
        """Start processes until one has loaded. A pipeline that cannot be loaded is not tried again."""
        for attempt in range(MAX_FAILED_LOADS):
            began = time.monotonic()
            try:
                started = self._start()
            except LoadInterrupted as error:
                if attempt == MAX_FAILED_LOADS - 1:
                    raise
                _LOG.warning("a spaCy process could not be started, it is tried again: %s", error.message)
            else:
                self._load_limit = max(min_load_seconds, (time.monotonic() - began) * _LOAD_TIMES_FIRST)
                return started
            self._sleep(attempt)
        raise AssertionError("unreachable")

    def _start_successor(self, unanswered: int) -> SpacyChild | None:
        """Start processes until one has loaded; None if that is given up, or not needed any more."""
        reason = ""
        for attempt in range(MAX_FAILED_LOADS):
            if unanswered + attempt and not self._sleep(unanswered + attempt - 1):
                return None
            try:
                child, _ = self._start()
            except ModelUnusable as error:
                if self._closing:
                    return None
                _LOG.warning("the spaCy process could not be started again: %s", error.message)
                reason = error.message
                continue
            with self._changed:
                if not self._closing:
                    self._child, self._away_since = child, None
                    self._changed.notify_all()
                    return child
            child.close()
            return None
        self._fail(f"the spaCy process ended and could not be started again: {reason}")
        return None

    def _start(self) -> tuple[SpacyChild, PipelineInfo]:
        """Start a process and wait until its pipeline has loaded.

        Raises:
            ModelUnusable: when it cannot be loaded.
            LoadInterrupted: when the process could not be started, ended, or took too long.
        """
        try:
            child = SpacyChild(self._folder, self._threads)
        except OSError as error:
            raise LoadInterrupted(
                f"its process could not be started: {error.strerror}", "does the worker have enough memory?"
            ) from error
        with self._changed:
            self._loading = child
            if self._closing:
                child.kill("was closed while it loaded")
        try:
            return child, child.load(self._load_limit)
        finally:
            with self._changed:
                self._loading = None

    def _sleep(self, number: int) -> bool:
        """Wait before a start. Return False if the process was closed meanwhile."""
        delay = self._restart_delays[min(number, len(self._restart_delays) - 1)]
        with self._changed:
            return not self._changed.wait_for(lambda: self._closing, delay)

    def _fail(self, reason: str) -> None:
        with self._changed:
            self._failure = reason
            watchers = tuple(self._watchers)
            self._changed.notify_all()
        for on_failure in watchers:
            on_failure(reason)
