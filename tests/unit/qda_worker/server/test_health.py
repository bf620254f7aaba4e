"""The names for probes answer with a reason, which the kubelet writes into an Event."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from qda_worker.server.health import LIVENESS, READINESS, READINESS_PROBE, STARTUP_PROBE, Health

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def health() -> Health:
    return Health(["qda.v1.Some"], startup_notice="it was killed", unready_reason=lambda: "no\nfiles")


@pytest.fixture
async def stub(health: Health) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await server.stop(None)


async def status(stub: health_pb2_grpc.HealthStub, name: str) -> int | str:
    try:
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=name))).status)
    except grpc.aio.AioRpcError as error:
        return str(error.details()) if error.code() is grpc.StatusCode.UNAVAILABLE else str(error.code())


async def test_the_first_startup_check_tells_that_the_former_container_was_killed(
    stub: health_pb2_grpc.HealthStub,
) -> None:
    assert await status(stub, STARTUP_PROBE) == "it was killed"
    assert await status(stub, STARTUP_PROBE) == SERVING
    assert await status(stub, LIVENESS) == SERVING


async def test_a_readiness_probe_is_told_the_reason_and_others_the_status(
    health: Health, stub: health_pb2_grpc.HealthStub
) -> None:
    assert await status(stub, READINESS_PROBE) == "no files"
    assert await status(stub, READINESS) == NOT_SERVING

    await health.update({READINESS: True, LIVENESS: True})
    assert await status(stub, READINESS_PROBE) == SERVING
    assert await status(stub, READINESS) == SERVING

    await health.drain()
    assert await status(stub, READINESS_PROBE) == "this worker is shutting down"
    assert await status(stub, LIVENESS) == SERVING


async def test_a_readiness_probe_waits_until_the_worker_is_ready_for_the_first_time(
    health: Health, stub: health_pb2_grpc.HealthStub
) -> None:
    request = health_pb2.HealthCheckRequest(service=READINESS_PROBE)
    check = asyncio.ensure_future(stub.Check(request, timeout=60))
    done, _ = await asyncio.wait([check], timeout=0.2)
    assert not done

    await health.update({READINESS: True})
    assert (await check).status == SERVING

    await health.update({READINESS: False})
    with pytest.raises(grpc.aio.AioRpcError, match="no files"):
        await asyncio.wait_for(stub.Check(request, timeout=60), 10)


async def test_a_worker_that_hangs_fails_both_names_of_liveness(
    health: Health, stub: health_pb2_grpc.HealthStub
) -> None:
    await status(stub, STARTUP_PROBE)
    await health.update({LIVENESS: False})

    assert await status(stub, STARTUP_PROBE) == NOT_SERVING
    assert await status(stub, LIVENESS) == NOT_SERVING
