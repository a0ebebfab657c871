"""The operator's way: a tenant by `kubectl` alone, and by the command line, with true conditions at each moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.user import User

NAME = "life"
MANIFEST = f"""\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {NAME}}}
spec: {{displayName: Life, owner: someone@example.com, plan: starter, environment: staging}}
"""
WAIT = "--timeout=300s"


@pytest.fixture(scope="module")
def file(user: User, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("operator") / f"{NAME}.yaml"
    made.write_text(MANIFEST)
    return made


def body(user: User) -> dict[str, Any]:
    return dict(json.loads(user.shell(f"kubectl get tenant {NAME} -o json").stdout))


def conditions(user: User) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in body(user)["status"]["conditions"]}


def wait(user: User, condition: str) -> None:
    user.shell(f"kubectl wait tenant/{NAME} --for={condition} {WAIT}")


def patch(user: User, spec: str) -> int:
    """Edit it, and wait until the operator has acted on that; gives the new generation."""
    user.shell(f"kubectl patch tenant {NAME} --type=merge -p '{{\"spec\": {spec}}}'")
    generation = int(body(user)["metadata"]["generation"])
    wait(user, f"jsonpath='{{.status.observedGeneration}}'={generation}")
    wait(user, "condition=Reconciling=False")
    return generation


def replicas(user: User) -> int:
    namespace = body(user)["status"]["namespace"]
    found = json.loads(user.shell(f"kubectl -n {namespace} get deployments -o json").stdout)["items"]
    return sum(int(one.get("status", {}).get("readyReplicas", 0)) for one in found)


def test_by_kubectl_alone(user: User, file: Path) -> None:
    user.shell(f"kubectl apply -f {file}")
    wait(user, "condition=Ready")
    first = body(user)
    assert first["status"]["phase"] == "Ready"
    assert conditions(user) | {"Ready": ("True", "ModulesReady"), "Stalled": ("False", "NotStalled")} == conditions(
        user
    )
    assert conditions(user)["WorkloadSimulated"][0] == "True"
    assert replicas(user) > 0

    generation = patch(user, '{"displayName": "Life, edited"}')
    ready = next(one for one in body(user)["status"]["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["observedGeneration"]) == ("True", generation)

    patch(user, '{"suspended": true}')
    wait(user, "condition=Suspended")
    assert conditions(user)["Ready"] == ("False", "BySpec")
    assert body(user)["status"]["phase"] == "Suspended"

    patch(user, '{"suspended": false}')
    wait(user, "condition=Ready")
    assert conditions(user)["Suspended"] == ("False", "Active")

    user.shell(f"kubectl delete tenant {NAME} --wait=false")
    wait(user, "condition=Deleting")
    assert conditions(user)["Deleting"] == ("True", "GracePeriod")
    wait(user, "condition=Reconciling=False")
    namespace = first["status"]["namespace"]
    assert user.shell(f"kubectl -n {namespace} get ingress -o name").stdout == ""
    assert conditions(user)["Ready"] == ("False", "GracePeriod")
    assert replicas(user) == 0

    user.shell(f"kubectl annotate tenant {NAME} tenantry.dev/undelete=requested")
    done = user.json("tenant", "status", NAME, "--wait")
    assert done["reached"]
    again = body(user)
    assert again["metadata"]["uid"] != first["metadata"]["uid"]
    assert again["status"]["incarnation"] == first["status"]["incarnation"]
    assert "Deleting" not in conditions(user)
    assert replicas(user) > 0


def test_by_the_command_line(user: User, file: Path) -> None:
    file.write_text(MANIFEST.replace("displayName: Life", "displayName: Life again"))
    foreign = user.types("tenantry", "tenant", "up", str(file), code=None)
    if foreign.returncode == 2:  # kubectl wrote it before, and is told so
        assert "--take-over" in foreign.stderr
        user.types("tenantry", "tenant", "up", str(file), "--take-over")
    assert body(user)["spec"]["displayName"] == "Life again"
    (again,) = user.json("tenant", "up", str(file))["tenants"]
    assert (again["change"], again["phase"]) == ("no", "Ready")
    assert user.json("tenant", "status", NAME)["reached"]
    told = user.json("tenant", "events", NAME)["events"]
    assert {"Provisioning", "ModulesReady"} <= {one["reason"] for one in told}
    unconfirmed = user.json("tenant", "delete", NAME, code=2)
    assert "--yes" in unconfirmed["errors"][0]["hint"]
    deleted = user.json("tenant", "delete", NAME, "--yes")
    assert "all data kept until" in deleted["deletion"]
    assert conditions(user)["Deleting"] == ("True", "GracePeriod")
    assert conditions(user)["Ready"] == ("False", "GracePeriod")
    refused = user.types("tenantry", "tenant", "up", str(file), code=2)
    assert "being deleted" in refused.stderr
    user.types("tenantry", "tenant", "undelete", NAME)
    assert conditions(user)["Ready"] == ("True", "ModulesReady")
    assert replicas(user) > 0

    user.shell(f"kubectl annotate tenant {NAME} tenantry.dev/delete=requested")
    wait(user, "condition=Deleting")
    assert conditions(user)["Ready"] == ("False", "GracePeriod")
    user.shell(f"kubectl annotate tenant {NAME} tenantry.dev/delete-")
    wait(user, "condition=Ready")
    assert replicas(user) > 0
    now = user.types("tenantry", "tenant", "delete", NAME, "--yes", "--now", code=2)
    assert "grace period" in now.stderr


def test_a_wish_of_nobody_is_told_as_such(user: User) -> None:
    refused = user.types("tenantry", "tenant", "status", "nobody", code=2)
    assert "no Tenant object nobody" in refused.stderr
