"""The chart's README, its ci values and skaffold.yaml agree with the chart."""

import copy
import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import CHART, ROOT, Object, Render, container
from tests.chart.schemas import problems
from tests.cluster.demo_hub import CATALOGS

_CONFIG: Final = {"$ref": "skaffold.SkaffoldConfig"}


def _skaffold(profile: str = "") -> Object:
    """skaffold.yaml, with one profile's patches applied."""
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text("utf-8"))
    assert isinstance(config, dict)
    config = copy.deepcopy(config)
    for patch in next((one["patches"] for one in config["profiles"] if one["name"] == profile), []):
        assert patch["op"] == "add"
        *above, last = patch["path"].strip("/").split("/")
        target: Any = config
        for name in above:
            target = target[int(name)] if isinstance(target, list) else target[name]
        assert last not in target
        target[last] = patch["value"]
    return config


@pytest.mark.parametrize("profile", ["", "demo"])
def test_skaffold_yaml_meets_its_published_schema(profile: str) -> None:
    config = _skaffold(profile)
    assert config["apiVersion"] == "skaffold/v4beta13"
    assert list(problems(config, _CONFIG, "")) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("deploy.helms", {}, ".deploy.helms: unknown"),
        ("portForward", "50051", ".portForward: not of type array"),
        ("build.artifacts", [{"docker": {"file": "a"}}], ".build.artifacts[0].docker.file: unknown"),
        ("build.local.useBuildkit", "yes", ".build.local.useBuildkit: not of type boolean"),
    ],
)
def test_a_wrong_field_of_skaffold_yaml_is_found(path: str, value: Any, problem: str) -> None:
    config = _skaffold()
    part: Any = config
    *above, last = path.split(".")
    for name in above:
        part = part[name]
    part[last] = value
    assert list(problems(config, _CONFIG, "")) == [problem]


@pytest.mark.parametrize("profile", ["", "demo"])
def test_every_path_and_value_that_skaffold_names_exists(render: Render, profile: str) -> None:
    config = _skaffold(profile)
    for artifact in config["build"]["artifacts"]:
        assert (ROOT / artifact["context"] / artifact["docker"]["dockerfile"]).is_file()
        for argument in artifact["docker"].get("buildArgs", {}):
            dockerfile = (ROOT / artifact["docker"]["dockerfile"]).read_text("utf-8")
            assert f"\nARG {argument}" in dockerfile
    (release,) = config["deploy"]["helm"]["releases"]
    assert ROOT / release["chartPath"] == CHART
    assert all((ROOT / path).is_file() for path in release.get("valuesFiles", []))
    made = {CATALOGS / "catalog.yaml", CATALOGS / "catalog.lock.json"}  # by the hook before
    assert {ROOT / path for path in release.get("setFiles", {}).values()} <= made
    for hook in config["deploy"]["helm"].get("hooks", {}).get("before", []):
        assert importlib.util.find_spec(hook["host"]["command"][2])

    sets = {
        **release["setValues"],
        **dict.fromkeys(release["setValueTemplates"], "registry.example.org/some"),
    }
    options = [f"--set={name}={value}" for name, value in sets.items()]
    options += [f"--values={ROOT / path}" for path in release.get("valuesFiles", [])]
    rendered = render({}, *options)  # the schema refuses values that are not there
    assert container(rendered.worker)["image"].startswith("registry.example.org/some:")


def test_skaffold_deploys_its_images_and_forwards_the_port_of_the_chart(render: Render) -> None:
    config = _skaffold()
    built = {artifact["image"].replace("-", "_") for artifact in config["build"]["artifacts"]}
    (release,) = config["deploy"]["helm"]["releases"]
    used = set(release["setValueTemplates"].values())
    assert used == {f"{{{{.IMAGE_{part}_{image}}}}}" for image in built for part in ("REPO", "TAG")}

    (forward,) = config["portForward"]
    service = next(one for one in render().all("Service") if "clusterIP" not in one["spec"])
    assert forward["resourceName"] == service["metadata"]["name"].replace("rel", release["name"], 1)
    assert forward["port"] in [port["port"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("path", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_ci_file_passes_the_strict_linter(render: Render, path: Path) -> None:
    helm = shutil.which("helm")
    assert helm is not None
    command = [helm, "lint", "--strict", "--quiet", str(CHART), "--values", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_is_the_output_of_helm_docs() -> None:
    helm_docs = shutil.which("helm-docs")
    if helm_docs is None:
        pytest.skip("helm-docs is not installed")
    command = [helm_docs, "--chart-search-root", "charts", "--sort-values-order", "file", "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (CHART / "README.md").read_text("utf-8").strip()
