"""The cell's egress proxy: Squid behind a Service, the only way out for tenants.

Its agent logs in to OpenBao as itself and renders from the tenants' entries who may come and where to; a new tenant,
a changed list or a tenant that has gone need no change here. A cell whose file names a proxy elsewhere gets none.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import pulumi

from tenantry.tenancy.cell import Cell
from tenantry.tenancy.quota import Footprint
from tenantry_components.agent import (
    RENDERED_FOLDER,
    agent_container,
    agent_settings,
    agent_volumes,
    configuration_digest,
)
from tenantry_components.cell_cluster import labels
from tenantry_components.cell_services import EGRESS_ACCOUNT, EGRESS_ROLE
from tenantry_components.manifest import Manifest, container_security, register, resources
from tenantry_components.network_rules import peer_rule, port_of
from tenantry_components.pod import pod_security
from tenantry_components.squid_configuration import INNER_RANGES, rendered_files, squid_configuration

__all__ = ["CellEgress", "egress_manifests"]

_NAME = "egress"
_UID = 13  # `proxy` in Debian and what is made from it
_REPLICAS = 2
_PROXY_FOLDER = "/etc/tenantry/proxy"
_SQUID = Footprint(cpu_request_m=100, cpu_limit_m=1000, memory_request_mib=128, memory_limit_mib=256, ephemeral_mib=64)


class CellEgress(pulumi.ComponentResource):
    """cell: the cell. after: its namespaces, and the proxy's login to OpenBao. Outputs: `address`, `host:port`."""

    def __init__(
        self,
        name: str,
        cell: Cell,
        *,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:cell:Egress", name, None, opts)
        ready = list(after)
        for manifest in egress_manifests(cell):
            made = register(manifest, parent=self, after=ready)
            # What stands before the Deployment is there when its pods start.
            if manifest["kind"] != "Deployment":
                ready.append(made)
        self.address = pulumi.Output.from_input(f"{cell.spec.egress.host}:{cell.spec.egress.port}")
        self.register_outputs({"address": self.address})


def egress_manifests(cell: Cell) -> tuple[Manifest, ...]:
    """All of it, in the order in which it is made; () where the proxy is not in the cell's own namespace for it."""
    egress = cell.spec.egress
    if egress.peer.namespace != egress.namespace:
        return ()
    configuration = _configuration(cell)
    manifests = [*_network(cell), _account(cell), configuration]
    if cell.spec.ca_bundle:
        manifests.append(_object(cell, "v1", "ConfigMap", "cell-ca", data={"ca.pem": cell.spec.ca_bundle}))
    return (*manifests, _service(cell), _budget(cell), _deployment(cell, configuration_digest(configuration)))


def _object(cell: Cell, api_version: str, kind: str, name: str, **content: object) -> Manifest:
    metadata = {"name": name, "namespace": cell.spec.egress.namespace, "labels": {**labels(cell), **_selector()}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def _selector() -> dict[str, str]:
    return {"app.kubernetes.io/name": _NAME}


def _account(cell: Cell) -> Manifest:
    return _object(cell, "v1", "ServiceAccount", EGRESS_ACCOUNT, automountServiceAccountToken=False)


def _configuration(cell: Cell) -> Manifest:
    templates = rendered_files(cell)
    script = files("tenantry_components").joinpath("proxy.sh").read_text(encoding="utf-8")
    data = {
        "agent.json": agent_settings(cell.spec, templates, role=EGRESS_ROLE),
        "squid.conf": squid_configuration(cell),
        "proxy.sh": script,
        **{f"template-{index}": template.template for index, template in enumerate(templates)},
    }
    return _object(cell, "v1", "ConfigMap", _NAME, data=data)


def _network(cell: Cell) -> tuple[Manifest, ...]:
    """In: pods of tenants alone. Out: DNS, OpenBao, and the world without what lies inside."""
    spec = cell.spec
    tenants = {"namespaceSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "tenantry"}}}
    world = [
        {"ipBlock": {"cidr": whole, "except": [one for one in INNER_RANGES if (":" in one) == (":" in whole)]}}
        for whole in ("0.0.0.0/0", "::/0")
    ]
    out = [
        peer_rule("to", [spec.kubernetes.dns_peer], 53, dns=True),
        peer_rule("to", [spec.openbao.peer], port_of(spec.openbao.address)),
        {"to": world, "ports": [{"protocol": "TCP"}]},
    ]
    entry = {"from": [tenants], "ports": [{"protocol": "TCP", "port": spec.egress.port}]}
    pods = {"matchLabels": _selector()}
    api = "networking.k8s.io/v1"
    return (
        _object(
            cell,
            api,
            "NetworkPolicy",
            "egress-from-tenants",
            spec={"podSelector": pods, "policyTypes": ["Ingress"], "ingress": [entry]},
        ),
        _object(
            cell,
            api,
            "NetworkPolicy",
            "egress-to-world",
            spec={"podSelector": pods, "policyTypes": ["Egress"], "egress": out},
        ),
    )


def _service(cell: Cell) -> Manifest:
    port = {"name": "proxy", "port": cell.spec.egress.port, "targetPort": "proxy", "protocol": "TCP"}
    return _object(cell, "v1", "Service", _NAME, spec={"type": "ClusterIP", "selector": _selector(), "ports": [port]})


def _budget(cell: Cell) -> Manifest:
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": _selector()},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return _object(cell, "policy/v1", "PodDisruptionBudget", _NAME, spec=spec)


def _deployment(cell: Cell, digest: str) -> Manifest:
    templates = rendered_files(cell)
    probe = {"tcpSocket": {"port": "proxy"}, "timeoutSeconds": 5}
    container: Manifest = {
        "name": "squid",
        "image": cell.spec.images.located(cell.spec.images.egress),
        "command": ["/bin/sh", f"{_PROXY_FOLDER}/proxy.sh"],
        "env": [
            {"name": "TENANTRY_CONFIGURATION", "value": RENDERED_FOLDER},
            {"name": "TENANTRY_PROXY", "value": f"{_PROXY_FOLDER}/squid.conf"},
        ],
        "ports": [{"name": "proxy", "containerPort": cell.spec.egress.port, "protocol": "TCP"}],
        "resources": resources(_SQUID),
        "securityContext": container_security(),
        "readinessProbe": {**probe, "periodSeconds": 5},
        "livenessProbe": {**probe, "periodSeconds": 20, "failureThreshold": 6},
        "volumeMounts": [
            {"name": "proxy", "mountPath": _PROXY_FOLDER, "readOnly": True},
            {"name": "rendered", "mountPath": RENDERED_FOLDER, "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 (a folder of the container)
        ],
    }
    pod: Manifest = {
        "serviceAccountName": EGRESS_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(_UID, _UID),
        "terminationGracePeriodSeconds": 40,
        "initContainers": [agent_container(cell.spec, templates, stays=True)],
        "containers": [container],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _selector()},
            }
        ],
        "volumes": [
            {"name": "proxy", "configMap": {"name": _NAME}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "32Mi"}},
            *agent_volumes(cell.spec, _NAME),
        ],
    }
    template = {
        "metadata": {
            "labels": {**labels(cell), **_selector()},
            "annotations": {"tenantry.dev/configuration": digest},
        },
        "spec": pod,
    }
    spec = {
        "replicas": _REPLICAS,
        "selector": {"matchLabels": _selector()},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "revisionHistoryLimit": 3,
        "template": template,
    }
    return _object(cell, "apps/v1", "Deployment", _NAME, spec=spec)
