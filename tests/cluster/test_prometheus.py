"""A real Prometheus scrapes a worker under load: panels and alerts have data, and the quick alerts fire.

All alerts fire in `tests/cluster/campaign` (`make test-alerts`), which takes some minutes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.release import Release
from tests.cluster.watched import REPLACE, SHORTEN, Watched, one_target, overload, watch

ONE_MODEL: Final = "--set=worker.models={german-sentiment}"


@pytest.fixture
def watched(new_release: Callable[..., Release], tmp_path: Path) -> Iterator[Watched]:
    with watch(new_release("watched"), tmp_path, ONE_MODEL) as watched:
        yield watched


def test_panels_have_data_and_alerts_fire(watched: Watched) -> None:
    """One test, because installing a release takes longer than all of it."""
    labels = one_target(watched)
    namespace, name = watched.release.kubectl.namespace, watched.release.name
    assert labels["job"] == f"{namespace}/{name}"
    assert (labels["namespace"], labels["container"], labels["endpoint"]) == (namespace, "worker", "metrics")
    assert watched.prometheus.query(watched.monitoring.queue_seconds)[0].value == 0, "no call yet"
    watched.fires("QdaCertificateExpires")
    assert watched.prometheus.firing() == {"QdaCertificateExpires"}

    assert overload(watched) > 0.2, "the query of the KEDA trigger"

    empty = [title for title, query in watched.monitoring.panels if not watched.panel(title, query)]
    assert empty == []
    watched.in_shell(REPLACE)
    watched.fires("QdaRestartNeeded")
    watched.in_shell(SHORTEN)
    watched.fires("QdaCacheCorrupt")
    assert watched.fires("QdaCacheIncomplete")["labels"]["pod"].startswith(name)
