"""The API server accepts the rendered chart, for each file of values in its ci folder."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.chart.conftest import OPERATORS
from tests.cluster.kubectl import Kubectl, run
from tests.cluster.release import CHART


@pytest.mark.parametrize("values", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_the_api_server_accepts_every_object_in_a_restricted_namespace(
    kubectl: Kubectl, values: Path, helm: str
) -> None:
    if shutil.which(helm) is None:
        pytest.skip(f"{helm} is not installed")
    # Objects of operators are checked with their schemas in tests/chart, because no operator is installed here.
    # A bare pod, as that of `helm test`, is refused until its service account is there, which nothing makes here.
    release = ["dry", str(CHART), "--namespace", kubectl.namespace, "--values", str(values)]
    rendered = run([helm, "template", "--no-hooks", *release, *OPERATORS])
    assert rendered.code == 0, rendered.err
    known = set(kubectl("api-versions").split())
    objects = [one for one in yaml.safe_load_all(rendered.out) if one and one["apiVersion"] in known]
    assert objects
    manifest = yaml.safe_dump_all(objects)
    taken = kubectl.says("apply", "--server-side", "--dry-run=server", "--filename=-", stdin=manifest)

    assert taken.code == 0, taken.err
    assert "PodSecurity" not in taken.err, "a pod that the restricted standard would refuse"
