"""The tokenizer pool: turns the texts of jobs into waiting units.

`TokenizerPool` runs in two executors, which the queues of all models share, so that no event loop waits for a
tokenizer. A job is prepared in turns of at most `TEXTS_PER_TURN` texts and `CHARACTERS_PER_TURN` characters; between
them other jobs have theirs. The first turn of a job runs in the executor for short texts. Everything longer, and every
further turn, goes to the executor for long texts. So a small call waits for the first turns of others only, regardless
of the length of the waiting texts. The texts of a turn enter their lane together: the compute thread, if it is idle,
would otherwise begin with the first one alone, and compute the others after it.

A long text is prepared step by step (`TextModel.prepare_steps`). Between two steps the pool checks whether the text is
still needed. Under the policy CUT the part that the model reads is known, and queued, before the rest is counted;
the rest is counted after all texts of the job have been queued. The text is finished when it is computed and counted.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from itertools import chain
from typing import Any, Final, Generic

from qda_worker.errors import DeadlineTooShort, Draining
from qda_worker.models.base import Options, Output, Payload, PreparedText, TextModel
from qda_worker.scheduling.jobs import Failure, Job, PreparedAhead, Result, TextItem, Timings
from qda_worker.scheduling.outcomes import finish_text, to_worker_error
from qda_worker.scheduling.state import QueueState

# Texts of one job that are tokenized before the next job has its turn.
TEXTS_PER_TURN: Final = 32
# Characters of these texts: some hundredths of a second.
CHARACTERS_PER_TURN: Final = 2**16
# Characters of a text that is prepared in one step.
SHORT_TEXT: Final = 2**14


class _TextPreparation(Generic[Payload, Output, Result]):
    """One text of a job on its way into a lane.

    Attributes:
        number: position of the text in its job.
        steps: the steps of the model that are left.
        timings: the timings of the text; the steps add to `tokenize`.
        item: what is queued; None until the units are known.
    """

    __slots__ = ("item", "number", "steps", "timings")

    def __init__(
        self, number: int, steps: Iterator[PreparedText[Payload] | None], seconds: float = 0.0
    ) -> None:
        self.number = number
        self.steps = steps
        self.timings = Timings(tokenize=seconds)
        self.item: TextItem[Payload, Output, Result] | None = None


class _JobPreparation(Generic[Payload, Output, Result]):
    """How far the texts of a job are prepared. Only the thread that has the job's turn uses it."""

    __slots__ = ("_current", "_model", "_next", "_numbers", "_uncounted", "job")

    def __init__(self, job: Job[Result], model: TextModel[Payload, Output, Result]) -> None:
        self.job = job
        self._model = model
        duplicates = set(chain.from_iterable(job.duplicates.values()))
        # The texts that are prepared, and how many of them have been begun.
        self._numbers = [number for number in range(len(job.texts)) if number not in duplicates]
        self._next = 0
        self._current: _TextPreparation[Payload, Output, Result] | None = None
        # Texts whose units are queued, and of which the rest is to be counted.
        self._uncounted: deque[_TextPreparation[Payload, Output, Result]] = deque()

    @property
    def finished(self) -> bool:
        """Whether no text of the job needs another step."""
        return self._current is None and self._next == len(self._numbers) and not self._uncounted

    @property
    def current(self) -> _TextPreparation[Payload, Output, Result]:
        """The text whose step is next: the current one, else the next one, else one to count. Not if finished."""
        if self._current is None:
            if self._next == len(self._numbers):
                return self._uncounted[0]
            number = self._numbers[self._next]
            if self.job.prepared:
                ahead = self.job.prepared[number]
                self._current = _TextPreparation(number, ahead.steps(), ahead.seconds)
            else:
                steps = self._model.prepare_steps(self.job.texts[number], self.job.options)
                self._current = _TextPreparation(number, steps)
            self._next += 1
        return self._current

    def units_known(self) -> None:
        """Leave the current text, of which the rest is to be counted."""
        if self._current is not None:
            self._uncounted.append(self._current)
            self._current = None

    def text_finished(self) -> None:
        """Leave the current text, which needs no more steps."""
        if self._current is not None:
            self._current = None
        else:
            self._uncounted.popleft()


def prepare_ahead(model: TextModel[Any, Any, Any], text: str, options: Options) -> PreparedAhead:
    """Prepare a text of a call that will be submitted with the result. Blocks; any thread may call this."""
    began = time.monotonic()
    prepared: PreparedText[Any] | Exception
    try:
        prepared = model.prepare(text, options)
    except Exception as error:  # noqa: BLE001  # it becomes the outcome of the text
        prepared = error
    return PreparedAhead(prepared, time.monotonic() - began)


class TokenizerPool(Generic[Payload, Output, Result]):
    """Prepares the texts of jobs in two executors and puts their units into the lanes."""

    def __init__(
        self,
        model: TextModel[Payload, Output, Result],
        pool: Executor,
        long_pool: Executor,
        state: QueueState[Payload, Output, Result],
        clock: Callable[[], float],
    ) -> None:
        """Create the pool.

        Args:
            model: the model.
            pool: executor for first turns of short texts.
            long_pool: executor for everything else; may be the same one.
            state: the queue's shared state.
            clock: monotonic seconds.
        """
        self._model = model
        self._pool = pool
        self._long_pool = long_pool
        self._state = state
        self._clock = clock

    def submit(self, job: Job[Result]) -> None:
        """Schedule a job for tokenization and return at once. If the pool is shut down, the job ends as Draining."""
        preparation = _JobPreparation(job, self._model)
        self._submit_turn(preparation, long=len(job.texts[0]) > SHORT_TEXT)

    def _submit_turn(self, preparation: _JobPreparation[Payload, Output, Result], *, long: bool) -> None:
        try:
            (self._long_pool if long else self._pool).submit(self._run_turn, preparation, long)
        except RuntimeError:  # the executor was shut down because the worker is shutting down
            self._state.refuse(preparation.job, Draining("this worker is shutting down"))

    def _run_turn(self, preparation: _JobPreparation[Payload, Output, Result], long: bool) -> None:
        job = preparation.job
        steps = characters = 0
        items: list[TextItem[Payload, Output, Result]] = []
        while not preparation.finished and steps < TEXTS_PER_TURN and characters < CHARACTERS_PER_TURN:
            if job.done:
                return
            if job.is_expired(self._clock()):
                self._state.refuse(
                    job, DeadlineTooShort("the deadline passed before the texts were tokenized")
                )
                return
            text = preparation.current
            length = len(job.texts[text.number])
            if length > SHORT_TEXT and not long:
                break
            steps += 1
            characters += min(length, SHORT_TEXT)
            if (item := self._take_step(preparation, text)) is not None:
                items.append(item)
        self._state.enqueue(items)
        if not preparation.finished:
            self._submit_turn(preparation, long=True)

    def _take_step(
        self,
        preparation: _JobPreparation[Payload, Output, Result],
        text: _TextPreparation[Payload, Output, Result],
    ) -> TextItem[Payload, Output, Result] | None:
        """Take the next step of a text. Return the text if its units are known by it."""
        job, began = preparation.job, self._clock()
        if text.item is not None and text.item.done:
            preparation.text_finished()  # it failed while it was counted
            return None
        try:
            prepared = next(text.steps)
        except Exception as error:  # noqa: BLE001  # the failure of one text is the outcome of that text
            text.timings.tokenize += self._clock() - began
            failure = Failure(to_worker_error(error, self._model.info.key), text.timings)
            self._state.record_outcome(job, text.number, failure)
            preparation.text_finished()
            return None
        text.timings.tokenize += self._clock() - began
        if prepared is None:
            return None
        if prepared.counted:
            preparation.text_finished()
        else:
            preparation.units_known()
        if text.item is None:
            text.item = TextItem(job, text.number, prepared, text.timings)
            return text.item
        with self._state.changed:
            text.item.prepared = prepared
            computed = text.item.computed
        if computed:
            finish_text(self._model, self._state, text.item)
        return None
