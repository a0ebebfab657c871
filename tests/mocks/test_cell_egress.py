"""The egress proxy's manifests: who may come, where it may go, and that no login stands in them."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tenantry.tenancy.cell import Peer
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import Reach
from tenantry_components.cell_egress import egress_manifests
from tenantry_components.egress import allowed_hosts
from tenantry_components.egress_login import EGRESS_FILE
from tenantry_components.module import module_manifests
from tenantry_components.workload import configuration_manifests
from tests.mocks.conftest import CELL, tenant

MANIFESTS = {(one["kind"], one["metadata"]["name"]): one for one in egress_manifests(CELL)}
POD = MANIFESTS["Deployment", "egress"]["spec"]["template"]


def _world(address: str) -> bool:
    """Whether the network policy lets the proxy out to this address."""
    target = ipaddress.ip_address(address)
    (rule,) = [
        one for one in MANIFESTS["NetworkPolicy", "egress-to-world"]["spec"]["egress"] if "ipBlock" in one["to"][0]
    ]
    return any(
        target in ipaddress.ip_network(peer["ipBlock"]["cidr"])
        and not any(target in ipaddress.ip_network(one) for one in peer["ipBlock"]["except"])
        for peer in rule["to"]
    )


@pytest.mark.parametrize(
    "address",
    ["10.96.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.9", "192.168.1.1", "100.100.100.200", "fd00:ec2::254",
     "fe80::1", "::1", "224.0.0.1", "64:ff9b::a9fe:a9fe"],
)  # fmt: skip
def test_the_proxy_gets_to_no_inner_address(address: str) -> None:
    assert not _world(address)


@pytest.mark.parametrize("address", ["203.0.113.9", "93.184.215.14", "2606:2800:21f::1"])
def test_the_proxy_gets_to_the_world(address: str) -> None:
    assert _world(address)


def test_tenants_pods_alone_come_in() -> None:
    (rule,) = MANIFESTS["NetworkPolicy", "egress-from-tenants"]["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "tenantry"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": CELL.spec.egress.port}]


def test_every_policy_and_the_service_select_the_pods() -> None:
    labels = POD["metadata"]["labels"].items()
    selectors = [
        one["spec"]["podSelector"]["matchLabels"] for (kind, _), one in MANIFESTS.items() if kind == "NetworkPolicy"
    ]
    selectors.append(MANIFESTS["Service", "egress"]["spec"]["selector"])
    selectors.append(MANIFESTS["PodDisruptionBudget", "egress"]["spec"]["selector"]["matchLabels"])
    assert len(selectors) == 4
    assert all(selector.items() <= labels for selector in selectors)


def test_the_agent_alone_holds_the_token() -> None:
    holders = [
        one["name"]
        for one in (*POD["spec"]["containers"], *POD["spec"]["initContainers"])
        if any(mount["name"] == "openbao-token" for mount in one["volumeMounts"])
    ]
    assert holders == ["agent"]
    assert POD["spec"]["automountServiceAccountToken"] is False


def test_each_mount_has_its_volume() -> None:
    volumes = {one["name"] for one in POD["spec"]["volumes"]}
    mounted = {
        mount["name"]
        for one in (*POD["spec"]["containers"], *POD["spec"]["initContainers"])
        for mount in one["volumeMounts"]
    }
    assert mounted == volumes


def test_a_cell_with_a_proxy_elsewhere_gets_none() -> None:
    elsewhere = CELL.spec.egress.model_copy(update={"peer": Peer(cidr="203.0.113.8/32")})
    assert egress_manifests(CELL.model_copy(update={"spec": CELL.spec.model_copy(update={"egress": elsewhere})})) == ()


def test_a_tenant_may_reach_what_its_file_declares_and_the_backup_store() -> None:
    assert allowed_hosts(tenant()) == ("api.crm.example.com:443", "objects.example.net:443")


def _containers(spec: TenantSpec) -> dict[str, dict[str, Any]]:
    """The main container of each module, by the module's name."""
    found = {}
    for module in spec.workload.modules:
        for manifest in module_manifests(spec, module, {}):
            body = manifest["spec"]["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else manifest["spec"]
            if "template" in body:
                found[module.name] = body["template"]["spec"]["containers"][0]
    return found


def test_modules_that_go_out_read_their_login_from_memory(spec: TenantSpec) -> None:
    outward = {module.name for module in spec.workload.modules if Reach.EGRESS in module.reach}
    assert outward
    for name, container in _containers(spec).items():
        variables = {one["name"]: one["value"] for one in container["env"]}
        assert ("TENANTRY_EGRESS" in variables) == (name in outward)
        assert not {"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} & variables.keys()
        if name in outward:
            assert container["command"][:2] == ["/bin/sh", "/run/tenantry/bin/run.sh"]
            assert EGRESS_FILE in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert "@egress.tenantry-egress.svc:3128" in json.dumps([one["data"] for one in configuration_manifests(spec)])


def test_run_sh_hands_the_login_to_the_command(tmp_path: Path) -> None:
    login = tmp_path / "egress.env"
    login.write_text("HTTPS_PROXY=http://t-acme:secret@egress:3128\n", encoding="utf-8")
    script = str(files("tenantry_components").joinpath("run.sh"))
    done = subprocess.run(
        ["sh", script, "sh", "-c", 'echo "$HTTPS_PROXY"; exit 3'],
        env={"PATH": "/usr/bin:/bin", "TENANTRY_EGRESS": str(login)},
        text=True,
        capture_output=True,
        timeout=20,
    )
    assert done.returncode == 3
    assert done.stdout == "http://t-acme:secret@egress:3128\n"


def test_run_sh_does_not_start_without_the_login(tmp_path: Path) -> None:
    script = str(files("tenantry_components").joinpath("run.sh"))
    done = subprocess.run(
        ["sh", script, "echo", "started"],
        env={"PATH": "/usr/bin:/bin", "TENANTRY_EGRESS": str(tmp_path / "absent")},
        text=True,
        capture_output=True,
        timeout=20,
    )
    assert done.returncode != 0
    assert done.stdout == ""
