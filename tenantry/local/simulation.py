"""The simulated nodes: the kwok controller and the objects that nodes need in the cluster."""

from __future__ import annotations

from importlib import resources
from typing import Any

from tenantry.local.cluster import KUBELET_CLIENT, Authorities, WebPart, kubeconfig
from tenantry.local.objects import apply_objects, role
from tenantry.local.part import Program, Site
from tenantry.local.pki import Leaf

__all__ = ["Kwok"]

_NODES = ("local-a", "local-b", "local-c")
_ROOM = {"cpu": "1000", "memory": "4Ti", "ephemeral-storage": "16Ti", "pods": "20000"}
"""A node's room: some hundred tenants of the largest plan on the three of them."""
_USER = "system:kwok-controller"
_SIMULATED = "tenantry.dev/simulated"
"""Label of the nodes that are kept alive here; a real one is left to its kubelet."""


class Kwok(WebPart):
    """Keeps Node objects alive and moves their pods to Running. No container runs."""

    name = "kwok"

    def __init__(self, site: Site, authorities: Authorities) -> None:
        super().__init__(site, authorities)
        self._stages = resources.files("tenantry.local").joinpath("simulation.yaml").read_text()

    def program(self) -> Program:
        folder = self.folder
        return Program(
            command=(
                str(self.site.tools["kwok"]),
                f"--kubeconfig={folder / 'client.json'}",
                f"--config={folder / 'simulation.yaml'}",
                f"--manage-nodes-with-label-selector={_SIMULATED}=true",
                "--cidr=10.244.0.0/16",
                "--node-ip=192.0.2.1",
                "--node-lease-duration-seconds=40",
                f"--server-address={self.address}",
                f"--tls-cert-file={folder / 'server.pem'}",
                f"--tls-private-key-file={folder / 'server.key'}",
            ),
            environment={"HOME": str(folder)},
        )

    def prepare(self) -> None:
        folder = self.make_folder()
        self.server_certificate()
        kubeconfig(self.site, self.authorities, folder / "client.json", Leaf(common_name=_USER))
        self.write("simulation.yaml", self._stages)
        # The controller needs its role to start.
        apply_objects(self.site, _objects())


def _objects() -> list[tuple[str, dict[str, Any]]]:
    """Path and object of everything that simulated nodes need."""
    rbac, storage, name = "rbac.authorization.k8s.io", "storage.k8s.io", "tenantry-simulation"
    write = ["get", "list", "watch", "create", "update", "patch", "delete"]
    rules = [
        {"apiGroups": [""], "resources": ["events", "pods", "persistentvolumes"], "verbs": write},
        {"apiGroups": [""], "resources": ["nodes", "persistentvolumeclaims"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["nodes/status", "pods/status"], "verbs": ["patch", "update"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": write},
    ]
    objects = role(name, _USER, rules)
    objects += [
        (
            f"/apis/{storage}/v1/csidrivers/simulated.tenantry.dev",
            {
                "apiVersion": f"{storage}/v1",
                "kind": "CSIDriver",
                "metadata": {"name": "simulated.tenantry.dev"},
                "spec": {"attachRequired": False},
            },
        ),
        (
            f"/apis/{storage}/v1/storageclasses/simulated",
            {
                "apiVersion": f"{storage}/v1",
                "kind": "StorageClass",
                "metadata": {
                    "name": "simulated",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": "simulated.tenantry.dev",
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "Immediate",
                "allowVolumeExpansion": True,
            },
        ),
    ]
    objects.append(
        (
            f"/apis/{rbac}/v1/clusterrolebindings/tenantry-kubelet-client",
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "tenantry-kubelet-client"},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:kubelet-api-admin"},
                "subjects": [{"apiGroup": rbac, "kind": "User", "name": KUBELET_CLIENT}],
            },
        )
    )
    for node in _NODES:
        labels = {
            "kubernetes.io/hostname": node,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/region": "local",
            "topology.kubernetes.io/zone": node,
            _SIMULATED: "true",
        }
        manifest: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}}
        objects.append((f"/api/v1/nodes/{node}", manifest))
        room = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node},
            "status": {"capacity": _ROOM, "allocatable": _ROOM},
        }
        objects.append((f"/api/v1/nodes/{node}/status", room))
    return objects
