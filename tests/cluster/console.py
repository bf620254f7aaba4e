"""Console blocks of a page in docs, and a shell that runs their commands.

A block is fenced as `console` (`page_blocks.read_console`). `…` in the output that it shows stands for any text with
the blanks around it. Each line but one of `…` alone must be in the output of the command, in this order; blanks count
as one. This is less than `shown_output.missing_line` asks, because kubectl and helm choose the widths of columns and
what else they print by version. A command must succeed unless the page shows that it fails.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from tests.cluster.demo_hub import CATALOGS, ROOT, URL
from tests.cluster.kubectl import Kubectl
from tests.cluster.release import VALUES
from tests.support.page_blocks import read_blocks, read_console
from tests.support.shown_output import ANYTHING, is_line

COMMAND_SECONDS: Final = 240.0
PATIENCE_SECONDS: Final = 180.0
# Commands that only show something: repeated until they show what the page does, as a reader would.
_READS: Final = re.compile(
    r"kubectl (get|describe|events|logs|top) |kubectl exec [^|]*-- (cache-check|qda-client|python|sh -c 'cat)"
)
_WRITES: Final = re.compile(r"xargs kubectl delete|kubectl (apply|delete|create|patch)")
_SHOWN_FAILURE: Final = re.compile(r"command terminated with exit code|[Ee]rror(:| from)")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a page, and the lines that the page shows of its output."""

    text: str
    shown: tuple[str, ...]

    @property
    def only_reads(self) -> bool:
        return bool(_READS.match(self.text)) and not _WRITES.search(self.text)

    @property
    def may_fail(self) -> bool:
        return any(_SHOWN_FAILURE.match(line) for line in self.shown)


def read_sections(page: Path) -> dict[str, list[Command]]:
    """Return the commands of a page by the heading that they follow; headings without commands are left out."""
    found: dict[str, list[Command]] = {}
    for block in read_blocks(page):
        if block.language == "console":
            found.setdefault(block.heading, []).extend(Command(*each) for each in read_console(block))
    return found


def absent_line(shown: Sequence[str], output: str) -> str | None:
    """Return the first line of the page that is not in the output, after those before it; None if all are."""
    rest = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in shown:
        wanted = ANYTHING.join(part.strip() for part in " ".join(line.split()).split(ANYTHING))
        if wanted == ANYTHING:
            continue
        if not any(is_line(wanted, each) for each in rest):
            return line
    return None


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands as a reader of the docs does: beside the charts, in the namespace of the current context."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, text: str) -> tuple[int, str]:
        """Run a command line; return its exit code and output. After COMMAND_SECONDS all its processes are ended."""
        limit = ["timeout", "--kill-after=5", f"{COMMAND_SECONDS:.0f}"]
        done = subprocess.run(
            [*limit, "bash", "-o", "pipefail", "-c", text],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def follow(self, command: Command) -> None:
        """Run a command and compare its output with the page. Raises `AssertionError`."""
        deadline = time.monotonic() + (PATIENCE_SECONDS if command.only_reads else 0)
        while True:
            code, output = self.run(command.text)
            missing = absent_line(command.shown, output)
            if missing is None and (code == 0 or command.may_fail):
                return
            if time.monotonic() >= deadline:
                why = f"no line: {missing}" if missing is not None else f"exit code {code}"
                raise AssertionError(f"$ {command.text}\n{output}\n{why}")
            time.sleep(1)


def make_shell(
    folder: Path,
    kubectl: Kubectl,
    values: Mapping[str, object],
    variables: Mapping[str, str] = MappingProxyType({}),
    last: Sequence[str] = (),
) -> Shell:
    """Return a shell whose context has a namespace, and whose helm knows what this cluster needs.

    Args:
        folder: the working folder, with the charts, `my.yaml` and `my.lock.json`. A former shell may have left files.
        kubectl: its namespace becomes that of the context.
        values: what `helm` is given before all other values, unless it reuses those of the release.
        variables: additional environment.
        last: what `helm` is given after all other options of an installation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "charts").exists():
        (folder / "charts").symlink_to(ROOT / "charts")
        shutil.copy(CATALOGS / "catalog.yaml", folder / "my.yaml")
        shutil.copy(CATALOGS / "catalog.lock.json", folder / "my.lock.json")
    own = folder / kubectl.namespace
    own.mkdir()
    config = own / "kubeconfig"
    shutil.copy(kubectl.kubeconfig, config)
    (own / "values.yaml").write_text(yaml.safe_dump(dict(values)), "utf-8")
    program = own / "helm"
    helm = shutil.which("helm")
    program.write_text(
        f"""#!/bin/sh
case "$*" in
  *reuse-values*) ;;
  install*|upgrade*)
    verb=$1; shift; exec {helm} "$verb" --values {own / "values.yaml"} "$@" {" ".join(last)} ;;
esac
exec {helm} "$@"
""",
        "utf-8",
    )
    program.chmod(0o755)
    environment = {
        "PATH": f"{own}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/tmp"),
        "KUBECONFIG": str(config),
        **variables,
    }
    shell = Shell(folder, environment)
    code, output = shell.run(f"kubectl config set-context --current --namespace {kubectl.namespace}")
    assert code == 0, output
    return shell


def values_of_the_cluster(hub_namespace: str, image: Mapping[str, str]) -> dict[str, object]:
    """Return values for releases that start in seconds: small models, of which the workers serve one."""
    values = yaml.safe_load(VALUES.read_text("utf-8"))
    hub = f"{URL.partition(':8001')[0]}.{hub_namespace}:8001"
    values["image"] |= image
    values["hub"] = {"endpoint": hub, "wheelBase": f"{hub}/wheels"}
    values["catalog"] = (CATALOGS / "catalog.yaml").read_text("utf-8")
    values["catalogLock"] = (CATALOGS / "catalog.lock.json").read_text("utf-8")
    # Requests stay small, because several releases share the node, but not so small that pods starve beside others.
    requests = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    values["cacheWarmer"] = {"resources": requests}
    values["worker"]["resources"] |= requests
    values["worker"] |= {
        "models": ["german-ner"],
        "drainDelaySeconds": 0,
        "extraEnv": [{"name": "QDA_CHECK_INTERVAL", "value": "2s"}],
    }
    return dict(values)
