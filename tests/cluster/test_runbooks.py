"""The commands of docs/runbooks.md, run in order after each fault was really caused.

Each chain of runbooks has a release of its own in a namespace of its own, and the chains run at the same time. A
release serves one model, so that its workers start in seconds.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import pytest
import yaml

from tests.cluster.console import PATIENCE_SECONDS, Shell, make_shell, read_sections, values_of_the_cluster
from tests.cluster.demo_hub import ROOT
from tests.cluster.kubectl import Kubectl, eventually
from tests.cluster.release import Release

PAGE: Final = ROOT / "docs" / "runbooks.md"
SECTIONS: Final = read_sections(PAGE)
REUSE: Final = "--reset-then-reuse-values"
FULLNAME: Final = "worker-qda-worker"
WAIT: Final = "--wait --timeout=5m"
WITH_SHELL: Final = "--set=cacheWarmer.shell=true"

_FLIP: Final = """
import pathlib
path = next(pathlib.Path("/cache/spacy/.packages").glob("*/*/*/vocab/strings.json"))
content = bytearray(path.read_bytes())
content[-3] ^= 1
path.write_bytes(content)
"""
_DELETE_MODELS: Final = (
    "rm -rf /cache/.model-cache/manifests /cache/.model-cache/models /cache/spacy/.packages/*"
)
_ASK: Final = (
    "for text in 'Anna wohnt in Berlin.' 'Das ist gut.'; do echo $text; done | qda-client entities -"
)
Fault = Callable[[Release], object]


def _helm(release: Release, *settings: str) -> None:
    """Change values of the release. Raises `CommandFailed`."""
    release("upgrade", REUSE, *(f"--set={setting}" for setting in settings))


def _in_pod(release: Release, command: str, suffix: str = "") -> None:
    release.kubectl("exec", f"deploy/{FULLNAME}{suffix}", "--", "sh", "-c", command)


def _nothing(release: Release) -> None:
    assert release.is_ready()


def _use_a_missing_secret(release: Release) -> None:
    _helm(release, "hub.tokenSecret=hub-token")


def _flip_a_byte(release: Release) -> None:
    release("upgrade", REUSE, WITH_SHELL)
    release.kubectl("rollout", "status", f"deploy/{FULLNAME}-shell", "--timeout=120s")
    release.kubectl("exec", f"deploy/{FULLNAME}-shell", "--", "python", "-c", _FLIP)


def _leave_an_old_job(release: Release) -> None:
    found = release.kubectl.items("jobs", "app.kubernetes.io/component=warmer")
    (job,) = found
    job["metadata"] = {"name": f"{FULLNAME}-warm-other", "labels": job["metadata"]["labels"]}
    for made in ("selector", "suspend"):
        job["spec"].pop(made)
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        for name in [name for name in labels if "job-name" in name or "controller-uid" in name]:
            del labels[name]
    del job["status"]
    release.kubectl.apply(job)


def _run_the_test(release: Release) -> None:
    release("test")


def _delete_the_models(release: Release) -> None:
    _in_pod(release, _DELETE_MODELS, "-shell")
    release.kubectl("delete", "pod", release.running_worker())


def _delete_the_claim(release: Release) -> None:
    release.kubectl("delete", "pvc", f"{FULLNAME}-cache", "--wait=false")


def _use_an_image_that_does_not_exist(release: Release) -> None:
    _helm(release, "worker.image.tag=no-such-tag")


def _set_a_low_memory_limit(release: Release) -> None:
    _helm(release, "worker.resources.requests.memory=32Mi", "worker.resources.limits.memory=64Mi")


def _throttle(release: Release) -> None:
    limits = {"limits": [{"type": "Container", "default": {"cpu": "500m"}}]}
    _create(release, "LimitRange", limits)
    release.kubectl("rollout", "restart", f"deploy/{FULLNAME}")
    release.kubectl("rollout", "status", f"deploy/{FULLNAME}", "--timeout=120s")
    _in_pod(release, _ASK)


def _limit_the_namespace(release: Release) -> None:
    release.kubectl("delete", "limitrange", "--all")
    _create(release, "ResourceQuota", {"hard": {"limits.cpu": "3", "pods": "8"}})
    _helm(release, "worker.resources.limits.cpu=null", "cacheWarmer.rerun=1")


def _create(release: Release, kind: str, spec: Mapping[str, object]) -> None:
    release.kubectl.apply({"apiVersion": "v1", "kind": kind, "metadata": {"name": "team"}, "spec": spec})


# For each chain: options of its installation, and the fault of each runbook.
CHAINS: Final[dict[str, tuple[tuple[str, ...], dict[str, Fault]]]] = {
    "files": (
        (WAIT,),
        {
            "The first look": _nothing,
            "The warm failed": _use_a_missing_secret,
            "Files are damaged": _flip_a_byte,
            "A restart is needed": _nothing,
            "Old Jobs stay": _leave_an_old_job,
            "Removing everything": _run_the_test,
        },
    ),
    "claim": (
        (WAIT, WITH_SHELL),
        {
            "Workers are not ready": _delete_the_models,
            "The claim is lost": _delete_the_claim,
            "A rollout does not end": _use_an_image_that_does_not_exist,
        },
    ),
    "limits": (
        (WAIT,),
        {
            "Out of memory": _set_a_low_memory_limit,
            "Answers are slow": _throttle,
            "A quota forbids pods": _limit_the_namespace,
        },
    ),
    "small": (("--set=cache.storageClassName=SMALL",), {"The volume is full": lambda _: None}),
    "root": (("--set=cache.storageClassName=ROOT",), {"The volume cannot be written": lambda _: None}),
}
CLASSES: Final = {"small": "--small-class", "root": "--root-owned-class"}

# The first test waits for the chains.
pytestmark = pytest.mark.timeout(1500)


@dataclass(frozen=True, slots=True)
class Chain:
    """A release in a namespace of its own, with the faults and runbooks that it goes through."""

    name: str
    release: Release
    shell: Shell
    options: tuple[str, ...]

    def run(self, done: dict[str, Future[None]]) -> None:
        """Go through the runbooks; those after one that fails are not run."""
        title = "the installation"
        try:
            code, output = self.shell.run(f"helm install worker charts/qda-worker {' '.join(self.options)}")
            assert code == 0, output
            for title, fault in CHAINS[self.name][1].items():
                fault(self.release)
                for command in SECTIONS[title]:
                    self.shell.follow(command)
                if title != "Removing everything":
                    eventually(f"a ready worker after: {title}", self.release.is_ready, PATIENCE_SECONDS)
                done[title].set_result(None)
        except BaseException as error:  # noqa: BLE001  # the test of this runbook raises it
            done.get(title, Future()).set_exception(error)
            reason = AssertionError(f"not run, because this failed: {title}: {error}")
            for other in CHAINS[self.name][1]:
                if not done[other].done():
                    done[other].set_exception(reason)


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest,
    kubectl: Kubectl,
    image_values: dict[str, str],
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[None]]]:
    """Run the chains of the selected tests at the same time, and return what became of each runbook."""
    selected = {
        item.callspec.params.get("title") for item in request.session.items if hasattr(item, "callspec")
    }
    done: dict[str, Future[None]] = {title: Future() for _, faults in CHAINS.values() for title in faults}
    folder = tmp_path_factory.mktemp("runbooks")
    values = values_of_the_cluster(kubectl.namespace, image_values)
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values), "utf-8")
    namespaces: list[Kubectl] = []
    with ThreadPoolExecutor(max_workers=3) as pool:
        for name, (options, faults) in CHAINS.items():
            if selected.isdisjoint(faults):
                continue
            storage = pytestconfig.getoption(CLASSES[name], default="") if name in CLASSES else "default"
            if not storage:
                for title in faults:
                    done[title].cancel()
                continue
            if name == "small":
                _give_back(kubectl, str(storage))
            within = Kubectl(f"{kubectl.namespace}-{name}", kubectl.kubeconfig)
            namespaces.append(within)
            # The runbook of a volume of root runs a pod as root.
            level = {} if name == "root" else {"pod-security.kubernetes.io/enforce": "restricted"}
            metadata = {"name": within.namespace, "labels": level}
            within.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            release = Release("worker", within, (f"--values={file}",))
            shell = make_shell(folder / name, within, values)
            chosen = tuple(option.replace(name.upper(), str(storage)) for option in options)
            pool.submit(partial(Chain(name, release, shell, chosen).run, done))
    # All have ended before the first test, because each test restores the environment of this process.
    yield done
    for within in namespaces:
        within.says("delete", "namespace", within.namespace, "--wait=false")


def _give_back(kubectl: Kubectl, storage_class: str) -> None:
    """Let the volumes of a class, which an earlier test has used, be claimed again."""
    for volume in kubectl.items("pv"):
        if (
            volume["spec"].get("storageClassName") == storage_class
            and volume["status"]["phase"] == "Released"
        ):
            kubectl("patch", "pv", volume["metadata"]["name"], '--patch={"spec": {"claimRef": null}}')


def test_each_runbook_with_commands_has_a_fault() -> None:
    assert list(SECTIONS) == [title for title in SECTIONS if title in _titles()]
    assert sorted(SECTIONS) == sorted(_titles())


def test_all_fenced_blocks_of_the_page_are_run() -> None:
    fences = [
        line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("```") and line != "```"
    ]
    assert set(fences) == {"```console"}


def _titles() -> list[str]:
    return [title for _, faults in CHAINS.values() for title in faults]


@pytest.mark.parametrize("title", _titles())
def test_the_commands_of_a_runbook_show_the_cause_and_mend_it(
    runs: dict[str, Future[None]], title: str
) -> None:
    done = runs[title]
    if done.cancelled():
        pytest.skip("no storage class was named for this fault")
    done.result()
