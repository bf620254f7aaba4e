"""Errors as statuses: the code, the reason, the remedy, and nothing that may contain text of the request."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from qda_worker import errors
from qda_worker.conversion.rpc_status import build_duration, build_status, retry_delay, retry_pushback
from qda_worker.errors import ArgumentInvalid, Draining, NotReady, QueueFull, Violation, WorkerError


def leaf_classes(kind: type[WorkerError]) -> list[type[WorkerError]]:
    children = kind.__subclasses__()
    return [leaf for child in children for leaf in leaf_classes(child)] if children else [kind]


def detail(status: Any, kind: Any) -> Any:
    return next((kind for box in status.details if box.Unpack(kind)), None)


def test_a_message_with_a_question_mark_gets_no_full_stop() -> None:
    error = ArgumentInvalid('no model "moot"; did you mean "mood"?', "name one that is there")
    assert build_status(error).message.endswith('did you mean "mood"? Remedy: name one that is there')


@pytest.mark.parametrize("kind", leaf_classes(WorkerError))
def test_every_error_has_a_grpc_code_a_reason_and_a_remedy(kind: type[WorkerError]) -> None:
    status = build_status(kind("it is so"))
    assert status.code == grpc.StatusCode[kind.status].value[0]
    info = detail(status, error_details_pb2.ErrorInfo())
    assert (info.reason, info.domain) == (kind.reason, "qda-worker")
    assert status.message == f"{kind.reason}: it is so. Remedy: {kind.usual_remedy}"
    assert kind.usual_remedy
    assert kind.reason in (errors.__doc__ or "") or kind.reason == errors.ModelFailed.reason


def test_the_status_of_an_unknown_error_has_no_message_of_it() -> None:
    status = build_status(ValueError("Frau Müller sagte"))
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "Müller" not in str(status)
    assert detail(status, error_details_pb2.ErrorInfo()).reason == "INTERNAL"


def test_all_violations_are_counted_and_the_first_twenty_listed() -> None:
    error = ArgumentInvalid("bad", violations=[Violation(f"texts[{n}].id", "is too long") for n in range(25)])
    status = build_status(error)
    violations = detail(status, error_details_pb2.BadRequest()).field_violations
    assert [violation.field for violation in violations] == [f"texts[{n}].id" for n in range(20)]
    assert detail(status, error_details_pb2.ErrorInfo()).metadata["violation_count"] == "25"


def test_only_errors_that_pass_soon_have_a_retry_delay() -> None:
    assert detail(build_status(QueueFull("full")), error_details_pb2.RetryInfo()).retry_delay.seconds == 1
    assert detail(build_status(Draining("ending")), error_details_pb2.RetryInfo()) is not None
    assert retry_delay(ArgumentInvalid("bad")) is None
    assert detail(build_status(ArgumentInvalid("bad")), error_details_pb2.RetryInfo()) is None


def test_a_status_fits_into_trailers_with_any_number_of_violations() -> None:
    error = ArgumentInvalid("bad", violations=[Violation(f"texts[{n}].id", "x" * 60) for n in range(10_000)])
    assert build_status(error).ByteSize() < 8 * 1024


def test_a_permanent_failure_forbids_retries_and_a_loading_model_does_not() -> None:
    assert retry_pushback(NotReady("the model does not load", permanent=True)) == -1
    assert retry_pushback(NotReady("the model is being loaded")) is None
    assert retry_pushback(Draining("ending")) == 0


@given(st.floats(0, 1e6))
def test_durations_keep_their_nanoseconds(seconds: float) -> None:
    duration = build_duration(seconds)
    assert duration.seconds + duration.nanos / 1e9 == pytest.approx(seconds, abs=1e-6)
