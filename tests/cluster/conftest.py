"""A namespace that enforces the `restricted` standard, a hub in it, and a release that tests share.

Needs a cluster (KUBECONFIG or --kubeconfig), helm and kubectl, and both images where the cluster finds them.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster import demo_hub
from tests.cluster.caller import Caller
from tests.cluster.kubectl import Kubectl, Said
from tests.cluster.release import FIRST, WAIT, Release, state
from tests.support.small_models import small_models

# The long tests of faults have a target of their own.
collect_ignore = ["faults"]


# Each option of the tier: its name, the variable that it can be set by, its default and what it is.
OPTIONS: Final = (
    ("--kubeconfig", "KUBECONFIG", "", "the cluster to test on"),
    ("--image-registry", "QDA_TEST_IMAGE_REGISTRY", "localhost", "registry of both images"),
    ("--image-tag", "QDA_TEST_IMAGE_TAG", "dev", "tag of both images"),
    ("--small-class", "QDA_TEST_SMALL_CLASS", "", "storage class whose next volume is smaller than 10 MB"),
    ("--root-owned-class", "QDA_TEST_ROOT_OWNED_CLASS", "", "storage class that ignores fsGroup"),
    ("--fill-class", "QDA_TEST_FILL_CLASS", "", "storage class whose next volume holds 300 to 450 MB"),
    ("--drain", "QDA_TEST_DRAIN", "", "1: the tests may cordon and drain the node of their pods"),
    ("--stop-command", "QDA_TEST_STOP_COMMAND", "", "shell command that stops the node's program {}"),
    ("--start-command", "QDA_TEST_START_COMMAND", "", "shell command that starts the node's programs again"),
    ("--pause-command", "QDA_TEST_PAUSE_COMMAND", "", "shell command that suspends the container with the id {}"),
    ("--resume-command", "QDA_TEST_RESUME_COMMAND", "", "shell command that resumes the container with the id {}"),
    ("--dashboard-svg", "QDA_TEST_DASHBOARD_SVG", "", "file for the drawn panels of the dashboard"),
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    """Read the variables here, because tests run in an empty environment."""
    group = parser.getgroup("cluster", "the cluster tier")
    for option, variable, default, said in OPTIONS:
        group.addoption(
            option, default=os.environ.get(variable, default), help=f"{said} (variable: {variable})"
        )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Send the options to each process of a parallel run, whose environment has no such variables any more."""
    node.workerinput["cluster_options"] = {name: node.config.getoption(name) for name, *_ in OPTIONS}


def pytest_configure(config: pytest.Config) -> None:
    """Take the options that `pytest_configure_node` sent, in a process of a parallel run."""
    sent: dict[str, str] = getattr(config, "workerinput", {}).get("cluster_options", {})
    for name, value in sent.items():
        setattr(config.option, name.removeprefix("--").replace("-", "_"), value)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the campaigns, which take minutes, out of a run that does not name them."""
    named = any("campaign" in argument for argument in config.args)
    return True if collection_path.name == "campaign" and not named else None


def _option(config: pytest.Config, name: str) -> str:
    return str(config.getoption(name, default="") or "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip all cluster tests, with one reason, if there is no cluster."""
    lacking = [program for program in ("kubectl", "helm") if shutil.which(program) is None]
    if not _option(config, "--kubeconfig"):
        lacking.append("KUBECONFIG")
    if lacking:
        skip = pytest.mark.skip(reason=f"the cluster tier needs {', '.join(lacking)}")
        for item in items:
            if item.path.is_relative_to(demo_hub.ROOT / "tests" / "cluster"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def images(pytestconfig: pytest.Config) -> tuple[str, ...]:
    registry, tag = _option(pytestconfig, "--image-registry"), _option(pytestconfig, "--image-tag")
    return (f"--set=image.registry={registry}", f"--set=image.tag={tag}")


@pytest.fixture(scope="session")
def image_values(pytestconfig: pytest.Config) -> dict[str, str]:
    return {name: _option(pytestconfig, f"--image-{name}") for name in ("registry", "tag")}


@pytest.fixture(scope="session")
def worker_image(pytestconfig: pytest.Config) -> str:
    registry, tag = _option(pytestconfig, "--image-registry"), _option(pytestconfig, "--image-tag")
    return f"{registry}/qda-worker:{tag}"


@pytest.fixture(scope="session")
def large_bytes() -> int:
    """Return the size of the hub's large file; 0: none."""
    return 0


@pytest.fixture(scope="session")
def kubectl(pytestconfig: pytest.Config, worker_image: str, large_bytes: int) -> Iterator[Kubectl]:
    """Yield a new namespace with the fake hub in it; it is deleted afterwards."""
    # Random, because the processes of a parallel run come here in the same millisecond.
    name = f"qda-test-{secrets.token_hex(6)}"
    kubectl = Kubectl(name, _option(pytestconfig, "--kubeconfig"))
    kubectl("create", "namespace", name)
    levels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    kubectl("label", "namespace", name, *levels)
    try:
        models = small_models()
        demo_hub.write_catalogs(models)
        demo_hub.start(kubectl, worker_image, models, large_bytes)
        yield kubectl
    finally:
        kubectl.says("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def around_the_warm() -> dict[str, dict[str, object]]:
    """Return the states of the shared release's worker before and after its cache was filled."""
    return {}


@pytest.fixture(scope="session")
def shared(
    kubectl: Kubectl, images: tuple[str, ...], around_the_warm: dict[str, dict[str, object]]
) -> Iterator[Release]:
    """Yield a release with all four models; its worker starts before the warmer. Tests that damage it repair it."""
    release = Release("shared-qda-worker", kubectl, images)
    release("install", *FIRST, "--set=cacheWarmer.enabled=false")
    around_the_warm["before"] = _seen(release)
    release("upgrade", *FIRST, *WAIT)
    around_the_warm["after"] = _seen(release)
    yield release
    release.remove()


def _seen(release: Release) -> dict[str, object]:
    name = release.running_worker()
    pod = release.worker()
    check = release.check(name).code
    return {
        "uid": pod["metadata"]["uid"],
        "ready": state(pod)["ready"],
        "restarts": state(pod)["restartCount"],
        "check": check,
    }


@pytest.fixture
def new_release(kubectl: Kubectl, images: tuple[str, ...]) -> Iterator[Callable[..., Release]]:
    """Return a factory of releases, which are removed after the test with their claims."""
    made: list[Release] = []

    def make(name: str, helm: str = "helm") -> Release:
        made.append(Release(f"{name}-qda-worker", kubectl, images, helm))
        return made[-1]

    yield make
    for release in made:
        release.remove()


@pytest.fixture
def hub_requests(kubectl: Kubectl) -> Callable[[], int]:
    """Return the number of requests that the hub has received."""
    script = (
        "import json, urllib.request as u; log = json.load(u.urlopen('http://127.0.0.1:8001/__log__')); "
        "print(sum(not one['path'].startswith('/__') for one in log))"
    )
    return lambda: int(kubectl("exec", demo_hub.NAME, "--", "python", "-c", script))


@pytest.fixture
def storage_class(pytestconfig: pytest.Config) -> Callable[[str], str]:
    """Return the storage class that a variable names for a fault; skip the test without one."""

    def find(option: str) -> str:
        return _option(pytestconfig, option) or pytest.skip(f"no storage class was named with {option}")

    return find


@pytest.fixture
def new_caller(kubectl: Kubectl, worker_image: str) -> Iterator[Callable[[str], Caller]]:
    """Return a function that starts a pod which calls a target; the pods are deleted after the test."""
    made: list[Caller] = []

    def start(target: str) -> Caller:
        made.append(Caller(kubectl, f"caller-{len(made)}"))
        made[-1].start(worker_image, target)
        return made[-1]

    yield start
    for caller in made:
        caller.stop()


@pytest.fixture
def drain(pytestconfig: pytest.Config, kubectl: Kubectl) -> Iterator[Callable[[Release, str], Said]]:
    """Return a function that drains the node of a release's workers of them alone; it is uncordoned afterwards."""
    if not pytestconfig.getoption("--drain"):
        pytest.skip("no permission was given with --drain")
    drained: list[str] = []

    def run(release: Release, timeout: str) -> Said:
        (node,) = {pod["spec"]["nodeName"] for pod in release.pods() if "nodeName" in pod["spec"]}
        drained.append(node)
        selector = f"app.kubernetes.io/instance={release.name},app.kubernetes.io/component=worker"
        options = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={timeout}")
        return kubectl.says("drain", node, f"--pod-selector={selector}", *options)

    yield run
    for node in drained:
        kubectl("uncordon", node)
