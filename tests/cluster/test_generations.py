"""Several generations in one claim: upgrade and rollback of a package, collect, export and import."""

import json
import subprocess
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.cluster.kubectl import Kubectl, Said, eventually
from tests.cluster.release import FIRST, THIRD, WAIT, Release

SHELL: Final = "--set=cacheWarmer.shell=true"
ENTITIES: Final = "--set=worker.models={german-ner}"
PACKAGES: Final = ("ls", "/cache/spacy/.packages")


def _in_shell(release: Release, *command: str) -> Said:
    return release.kubectl.says("exec", f"deploy/{release.name}-shell", "--", *command)


def _collect(release: Release, *options: str) -> dict[str, Any]:
    said = _in_shell(release, "cache-warmer", "collect", "--format", "json", *options)
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert isinstance(found, dict)
    return found


def _carry(source: Release, target: Release, kubectl: Kubectl) -> str:
    """Export from one claim and import into another, through a pipe; return the output of the import."""
    into = [
        "kubectl",
        *kubectl.options(),
        "exec",
        "-i",
        f"deploy/{target.name}-shell",
        "--",
        "cache-warmer",
        "import",
        "-",
    ]
    out_of = [
        "kubectl",
        *kubectl.options(),
        "exec",
        f"deploy/{source.name}-shell",
        "--",
        "cache-warmer",
        "export",
        "-o",
        "-",
    ]
    with subprocess.Popen(out_of, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as sender:
        done = subprocess.run(
            into, stdin=sender.stdout, capture_output=True, text=True, timeout=120, check=False
        )
    assert (sender.returncode, done.returncode) == (0, 0), done.stderr
    return done.stdout


@pytest.mark.timeout(420)
def test_upgrade_rollback_collect_export_and_import_of_two_generations(
    new_release: Callable[..., Release], kubectl: Kubectl, hub_requests: Callable[[], int]
) -> None:
    """One test, because each step needs the state of the one before it."""
    release = new_release("versions")
    release("install", *FIRST, SHELL, ENTITIES, *WAIT)
    assert "3.8.0" in release.check(release.running_worker()).out

    release("upgrade", *THIRD, SHELL, ENTITIES, *WAIT)
    assert "3.8.1" in release.check(release.running_worker()).out
    assert "verified: " in release.event("Job", "WARMED")

    asked = hub_requests()
    release("rollback", "1", *WAIT)
    assert "3.8.0" in release.check(release.running_worker()).out
    assert hub_requests() == asked, "a rollback asked the hub"
    assert len(_in_shell(release, *PACKAGES).out.split()) == 2, "both lie side by side"

    release("upgrade", *THIRD, SHELL, ENTITIES, *WAIT)
    assert hub_requests() == asked, "what was there before is not fetched again"
    assert not _collect(release, "--apply")["going"], "the former generation stays for a rollback"
    assert _collect(release, "--keep", "0")["going"]
    _collect(release, "--keep", "0", "--apply")
    assert "3.8.1" in _in_shell(release, *PACKAGES).out
    assert "3.8.0" not in _in_shell(release, *PACKAGES).out
    assert _in_shell(release, "cache-check", "--deep").code == 0

    island = new_release("island")
    island(
        "install",
        *THIRD,
        SHELL,
        ENTITIES,
        "--set=cacheWarmer.enabled=false",
        "--set=hub.endpoint=http://nowhere:9",
    )
    kubectl("wait", "--for=condition=Available", f"deploy/{island.name}-shell", "--timeout=90s")
    _carry(release, island, kubectl)
    eventually("a worker that is ready", island.is_ready)
    assert "3.8.1" in island.check(island.running_worker(), "--deep").out
    names = _in_shell(island, "ls", "/cache/.model-cache/references").out.split()
    assert len(names) == 1
    assert names[0].startswith(f"{kubectl.namespace}_{island.name}-"), "the identity of the cluster follows"
    assert hub_requests() == asked
    assert not _collect(island, "--keep", "0")["going"], "its Deployment lives"
