"""The commands of the pages about installing, run in their order, each walk in a namespace of its own.

Their helm is given the images, the hub and the small models of this cluster (`console.make_shell`); nothing else is
changed. The walks share a working folder, because one imports the archive that another one has exported.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.console import make_shell, read_sections, values_of_the_cluster
from tests.cluster.demo_hub import ROOT
from tests.cluster.kubectl import Kubectl

PAGES: Final = {
    name: read_sections(ROOT / "docs" / f"{name}.md") for name in ("kubernetes", "storage", "air-gap")
}
# Ids as OpenShift assigns them: any uid, the group 0, and the fsGroup of the namespace.
ASSIGNED: Final = {"runAsUser": 1000680000, "runAsGroup": 0, "fsGroup": 1000680000}

# As long as a slow machine takes for four installations.
pytestmark = pytest.mark.timeout(1500)


@dataclass(frozen=True, slots=True)
class Walk:
    """Sections of pages that are followed one after the other, from an installation on.

    Attributes:
        sections: page and heading.
        last: what the cluster adds to each installation.
        after: the walk that leaves a file which this one needs.
    """

    sections: tuple[tuple[str, str], ...]
    last: tuple[str, ...] = ()
    after: str | None = None


WALKS: Final = {
    "defaults": Walk(
        (("kubernetes", "Install"), ("kubernetes", "From other namespaces"), ("kubernetes", "The shell pod")),
    ),
    # The archive that comes into this cluster is the one that the shell pod exported.
    "air-gap": Walk(
        (("air-gap", "Into a cluster"),), ("--set=hub.endpoint=http://127.0.0.1:9",), after="defaults"
    ),
    "claim": Walk(
        (
            ("storage", "Which storage class"),
            ("storage", "A claim of your own"),
            ("storage", "Several releases on one claim"),
            ("storage", "One writer"),
        ),
    ),
    "openshift": Walk(
        (("kubernetes", "OpenShift"),),
        tuple(f"--set=podSecurityContext.{name}={value}" for name, value in ASSIGNED.items()),
    ),
}


def test_each_section_with_commands_is_followed() -> None:
    followed = sorted(section for walk in WALKS.values() for section in walk.sections)
    assert followed == sorted((page, heading) for page, found in PAGES.items() for heading in found)


def _after(name: str | None) -> list[str]:
    """Return the walks that follow a walk, in their order."""
    found = [other for other, walk in WALKS.items() if walk.after == name]
    return [each for other in found for each in (other, *_after(other))]


@pytest.mark.parametrize("first", [name for name, walk in WALKS.items() if walk.after is None])
def test_the_commands_of_the_pages_do_what_they_show(
    kubectl: Kubectl, image_values: dict[str, str], tmp_path: Path, first: str
) -> None:
    for name in (first, *_after(first)):
        _follow(name, kubectl, image_values, tmp_path)


def _follow(name: str, kubectl: Kubectl, image_values: dict[str, str], folder: Path) -> None:
    """Follow one walk in namespaces of its own, which are deleted afterwards."""
    walk = WALKS[name]
    within, other = (
        Kubectl(f"{kubectl.namespace}-{suffix}", kubectl.kubeconfig) for suffix in (name, f"{name}-2")
    )
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": within.namespace, "labels": labels}
    within.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    variables = {"REGISTRY": image_values["registry"], "OTHER": other.namespace}
    values = values_of_the_cluster(kubectl.namespace, image_values)
    try:
        shell = make_shell(folder, within, values, variables, walk.last)
        for page, heading in walk.sections:
            for command in PAGES[page][heading]:
                shell.follow(command)
    finally:
        for each in (within, other):
            each.says("delete", "namespace", each.namespace, "--wait=false", "--ignore-not-found")
