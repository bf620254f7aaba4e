"""The chart as `helm template` renders it; these tests are skipped, with one reason, if helm is not installed."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "charts" / "qda-worker"
# APIs of operators that `helm template` takes for installed.
OPERATORS: Final = tuple(
    f"--api-versions={api}"
    for api in (
        "monitoring.coreos.com/v1",
        "keda.sh/v1alpha1",
        "cert-manager.io/v1",
        "gateway.networking.k8s.io/v1",
    )
)
# The oldest version of Kubernetes that takes `cache.image`.
IMAGE_VOLUMES: Final = "--kube-version=1.35.0"
Object = dict[str, Any]
# The parser in C, where PyYAML has it, takes a tenth of the time.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Refused(Exception):
    """Helm did not render the chart; the message is its output."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of a release."""

    objects: tuple[Object, ...]

    def one(self, kind: str, suffix: str = "") -> Object:
        """Return the one object of a kind whose name has that suffix."""
        found = [one for one in self.all(kind) if one["metadata"]["name"].endswith(suffix)]
        assert len(found) == 1, [one["metadata"]["name"] for one in self.all(kind)]
        return found[0]

    def all(self, kind: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] == kind]

    @property
    def worker(self) -> Object:
        """The worker's pod template."""
        return self._template("Deployment")

    @property
    def warmer(self) -> Object:
        """The warmer's pod template."""
        return self._template("Job")

    @property
    def warmer_settings(self) -> dict[str, str]:
        """The environment variables that the warmer's pods read from their ConfigMap."""
        name = container(self.warmer)["envFrom"][-1]["configMapRef"]["name"]
        (found,) = [one for one in self.all("ConfigMap") if one["metadata"]["name"] == name]
        data = found["data"]
        assert isinstance(data, dict)
        return data

    def _template(self, kind: str) -> Object:
        template = self.one(kind)["spec"]["template"]
        assert isinstance(template, dict)
        return template


Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def render() -> Render:
    """Render the chart with values (nested, as in values.yaml). Raises `Refused`."""
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("the chart tier needs helm")
    return lambda values=None, *options: _rendered(helm, values or {}, options)


def _rendered(helm: str, values: Object, options: Sequence[str]) -> Rendered:
    command = [helm, "template", "rel", str(CHART), "--namespace", "texts", "--values", "-", *options]
    done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return Rendered(tuple(one for one in yaml.load_all(done.stdout, _LOADER) if one))


def container(template: Object) -> Object:
    """Return the one container of a pod template."""
    (only,) = template["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def environment(template: Object) -> dict[str, Any]:
    """Return the container's environment; variables with a `valueFrom` keep it."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container(template)["env"]}
