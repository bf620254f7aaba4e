"""The worker of the service tests."""

from tests.service.worker.conftest import cache_fixture, channel, http_url, worker

__all__ = ["cache_fixture", "channel", "http_url", "worker"]
