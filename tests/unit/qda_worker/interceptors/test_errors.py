"""The trailing metadata of a call that ends with an error."""

from qda_worker.conversion.rpc_status import build_status, retry_pushback
from qda_worker.errors import ArgumentInvalid, QueueFull
from qda_worker.interceptors.errors import build_trailers


def test_overload_errors_set_the_pushback_of_grpc_retries() -> None:
    trailers = dict(build_trailers(build_status(QueueFull("full")), retry_pushback(QueueFull("full"))))
    assert trailers["grpc-retry-pushback-ms"] == "1000"
    assert "grpc-retry-pushback-ms" not in dict(build_trailers(build_status(ArgumentInvalid("bad")), None))
    assert set(trailers) == {"grpc-retry-pushback-ms", "grpc-status-details-bin"}
