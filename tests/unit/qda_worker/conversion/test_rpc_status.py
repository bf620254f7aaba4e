"""Errors as statuses: the code, the reason, the remedy, and nothing that may hold a text."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from qda_worker import errors
from qda_worker.conversion.rpc_status import pushback, retry_delay, status_of
from qda_worker.errors import ArgumentInvalid, Draining, NotReady, QueueFull, Violation, WorkerError
from qda_worker.interceptors.errors import trailers


def leaves(kind: type[WorkerError]) -> list[type[WorkerError]]:
    below = kind.__subclasses__()
    return [leaf for one in below for leaf in leaves(one)] if below else [kind]


def detail(status: Any, kind: Any) -> Any:
    return next((kind for box in status.details if box.Unpack(kind)), None)


def test_a_message_that_ends_a_sentence_gets_no_second_full_stop() -> None:
    asked = ArgumentInvalid('no model "moot"; did you mean "mood"?', "name one that is there")
    assert status_of(asked).message.endswith('did you mean "mood"? Remedy: name one that is there')


@pytest.mark.parametrize("kind", leaves(WorkerError))
def test_every_error_has_a_code_of_grpc_a_reason_and_a_remedy(kind: type[WorkerError]) -> None:
    status = status_of(kind("it is so"))
    assert status.code == grpc.StatusCode[kind.status].value[0]
    info = detail(status, error_details_pb2.ErrorInfo())
    assert (info.reason, info.domain) == (kind.reason, "qda-worker")
    assert status.message == f"{kind.reason}: it is so. Remedy: {kind.usual_remedy}"
    assert kind.usual_remedy
    assert kind.reason in (errors.__doc__ or "") or kind.reason == errors.ModelFailed.reason


def test_an_unknown_error_is_told_without_its_message() -> None:
    status = status_of(ValueError("Frau Müller sagte"))
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "Müller" not in str(status)
    assert detail(status, error_details_pb2.ErrorInfo()).reason == "INTERNAL"


def test_violations_are_counted_in_full_and_told_in_part() -> None:
    error = ArgumentInvalid("bad", violations=[Violation(f"texts[{n}].id", "is too long") for n in range(25)])
    status = status_of(error)
    violations = detail(status, error_details_pb2.BadRequest()).field_violations
    assert [violation.field for violation in violations] == [f"texts[{n}].id" for n in range(20)]
    assert detail(status, error_details_pb2.ErrorInfo()).metadata["violation_count"] == "25"


def test_only_what_may_soon_succeed_says_when_to_try_again() -> None:
    assert detail(status_of(QueueFull("full")), error_details_pb2.RetryInfo()).retry_delay.seconds == 1
    assert detail(status_of(Draining("ending")), error_details_pb2.RetryInfo()) is not None
    assert retry_delay(ArgumentInvalid("bad")) is None
    assert detail(status_of(ArgumentInvalid("bad")), error_details_pb2.RetryInfo()) is None


def test_a_status_fits_into_trailers_however_many_violations_there_are() -> None:
    error = ArgumentInvalid("bad", violations=[Violation(f"texts[{n}].id", "x" * 60) for n in range(10_000)])
    assert status_of(error).ByteSize() < 8 * 1024


def test_refusals_for_lack_of_room_tell_grpcs_own_retries_when_to_come_back() -> None:
    found = dict(trailers(status_of(QueueFull("full")), pushback(QueueFull("full"))))
    assert found["grpc-retry-pushback-ms"] == "1000"
    assert "grpc-retry-pushback-ms" not in dict(trailers(status_of(ArgumentInvalid("bad")), None))
    assert set(found) == {"grpc-retry-pushback-ms", "grpc-status-details-bin"}


def test_a_worker_that_waiting_does_not_help_forbids_retries_and_one_that_loads_says_nothing_of_them() -> (
    None
):
    assert pushback(NotReady("the model does not load", lasting=True)) == -1
    assert pushback(NotReady("the model is being loaded")) is None
    assert pushback(Draining("ending")) == 0
