"""The Helm chart: what it installs is what the cell's set-up installs, and a pod that may do little."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantry.tenancy.catalogue import Catalogue
from tests.programs import HELM, built

DEPLOY = Catalogue.root().parent / "operator" / "deploy"
CHART = DEPLOY / "chart"


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    document = yaml.safe_load((Catalogue.root() / "cells" / "example.yaml").read_text())
    document["spec"]["operator"] = True
    made = tmp_path / "cell.yaml"
    made.write_text(yaml.safe_dump(document))
    return made


def helm(*arguments: str, namespace: str = "tenantry-system") -> subprocess.CompletedProcess[str]:
    command = [built(HELM), *arguments, "--namespace", namespace]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def rendered(cell: Path, *more: str) -> dict[str, dict[str, Any]]:
    done = helm("template", "tenantry-operator", str(CHART), "--set-file", f"cell={cell}", *more)
    assert done.returncode == 0, done.stderr
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in yaml.safe_load_all(done.stdout) if one}


def test_the_chart_lints(cell: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "--set-file", f"cell={cell}")
    assert done.returncode == 0, done.stdout


def test_the_pod_is_restricted_and_logs_in_by_itself(cell: Path) -> None:
    made = rendered(cell)
    assert not any(one.startswith(("Secret/", "ClusterRole/", "ServiceAccount/")) for one in made)
    pod = made["Deployment/tenantry-operator"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "--login=/var/run/secrets/openbao/token" in container["args"]
    assert not any("TOKEN" in one["name"] for one in container["env"])
    policy = made["NetworkPolicy/tenantry-operator"]["spec"]
    assert (
        policy["podSelector"]["matchLabels"].items()
        <= made["Deployment/tenantry-operator"]["spec"]["template"]["metadata"]["labels"].items()
    )


def test_the_rights_come_along_where_they_are_asked_for(cell: Path) -> None:
    made = rendered(cell, "--set", "rbac.create=true")
    sources = [one for one in yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text()) if one]
    for one in sources:
        assert made[f"{one['kind']}/{one['metadata']['name']}"] == one


@pytest.mark.parametrize(
    ("arguments", "namespace", "said"),
    [
        pytest.param((), "tenantry-system", "the cell file is missing", id="without a cell file"),
        pytest.param(("--set", "cell=a: b"), "tenantry-system", "spec.operator: true", id="a cell without an operator"),
        pytest.param(("--set", "cell=CELL"), "default", "namespace tenantry-system", id="another namespace"),
    ],
)
def test_what_cannot_work_is_said(cell: Path, arguments: tuple[str, ...], namespace: str, said: str) -> None:
    given = [f"--set-file=cell={cell}" if one == "cell=CELL" else one for one in arguments if one != "--set"]
    given = [one if one.startswith("--") else f"--set={one}" for one in given]
    done = helm("template", "tenantry-operator", str(CHART), *given, namespace=namespace)
    assert done.returncode != 0
    assert said in done.stderr
