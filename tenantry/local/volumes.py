"""local-path-provisioner: the claims of pods on a real node become folders of this machine, and go with their claims.

https://github.com/rancher/local-path-provisioner. Folders are made and removed by short pods of its own on the node.
"""

from __future__ import annotations

import json
from typing import Any

from tenantry.local.cluster import Authorities, kubeconfig
from tenantry.local.images import SHELL
from tenantry.local.node import NODE_LABEL, NodePlace
from tenantry.local.objects import apply_objects, role
from tenantry.local.part import Health, Part, Program, Site, State
from tenantry.local.pki import Leaf

__all__ = ["SHARED_STORAGE_CLASS", "STORAGE_CLASS", "LocalPath"]

STORAGE_CLASS = "local"
SHARED_STORAGE_CLASS = "local-shared"
_NAME = "tenantry-volumes"
_USER = "system:local-path-provisioner"
_PROVISIONER = "rancher.io/local-path"
_SETUP = """\
#!/bin/sh
set -eu
case "$VOL_DIR" in
*/shared/*) umask 0000 ;;
*) umask 0007 ;;
esac
mkdir -p "$VOL_DIR"
"""
"""Nobody else's: the kubelet gives the folder to the group of the pod that mounts it. A shared one it gives to nobody;
what is above that is root's alone."""
_TEARDOWN = '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n'


class LocalPath(Part):
    """It listens nowhere, so there is nothing to ask: what runs is well."""

    name = "local-path-provisioner"

    def __init__(self, site: Site, authorities: Authorities, place: NodePlace) -> None:
        super().__init__(site)
        self._authorities = authorities
        self._place = place

    @property
    def address(self) -> str:
        return str(self.folder / "data")

    @property
    def ports(self) -> tuple[int, ...]:
        return ()

    def program(self) -> Program:
        folder = self.folder
        return Program(
            command=(
                str(self.site.tools["local-path-provisioner"]),
                "start",
                f"--config={folder / 'config.json'}",
                f"--helper-pod-file={folder / 'helper-pod.json'}",
                f"--kubeconfig={folder / 'client.json'}",
                f"--namespace={_NAME}",
                f"--configmap-name={_NAME}",
                f"--service-account-name={_NAME}",
                f"--helper-image={SHELL}",
                f"--provisioner-name={_PROVISIONER}",
            ),
            environment={"HOME": str(folder)},
        )

    def prepare(self) -> None:
        folder = self.make_folder("data", "shared")
        kubeconfig(self.site, self._authorities, folder / "client.json", Leaf(common_name=_USER))
        # The one node that is real; claims of pods elsewhere are not for it.
        paths = [{"node": self._place.name, "paths": [str(folder / "data")]}]
        classes = {
            STORAGE_CLASS: {"nodePathMap": paths},
            SHARED_STORAGE_CLASS: {"sharedFileSystemPath": str(folder / "shared")},
        }
        self.write("config.json", json.dumps({"storageClassConfigs": classes}))
        self.write("helper-pod.json", json.dumps(_helper_pod()))
        apply_objects(self.site, _objects())

    def probe(self) -> Health:
        return Health(state=State.RUNNING)


def _helper_pod() -> dict[str, Any]:
    key, value = NODE_LABEL
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "volume"},
        "spec": {
            "nodeSelector": {key: value},
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": "volume",
                    "image": SHELL,
                    "imagePullPolicy": "IfNotPresent",
                    # It makes folders among those of root, and removes what any account has left in them.
                    "securityContext": {"runAsUser": 0, "runAsGroup": 0, "readOnlyRootFilesystem": True},
                }
            ],
        },
    }


def _objects() -> list[tuple[str, dict[str, Any]]]:
    read = ["get", "list", "watch"]
    named = {"metadata": {"name": _NAME, "namespace": _NAME}}
    inside = f"namespaces/{_NAME}"
    rules = [
        {"apiGroups": [""], "resources": ["nodes", "persistentvolumeclaims"], "verbs": read},
        {
            "apiGroups": [""],
            "resources": ["persistentvolumes"],
            "verbs": [*read, "create", "patch", "update", "delete"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": read},
    ]
    within = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "create", "delete"]},
        {"apiGroups": [""], "resources": ["pods/log", "configmaps"], "verbs": ["get"]},
    ]
    return [
        *role(_NAME, _USER, rules),
        (f"/api/v1/{inside}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAME}}),
        (f"/api/v1/{inside}/serviceaccounts/{_NAME}", {"apiVersion": "v1", "kind": "ServiceAccount", **named}),
        (
            f"/api/v1/{inside}/configmaps/{_NAME}",
            {"apiVersion": "v1", "kind": "ConfigMap", **named, "data": {"setup": _SETUP, "teardown": _TEARDOWN}},
        ),
        *role(_NAME, _USER, within, namespace=_NAME),
        # Of type local, to which the kubelet gives the pod's group; it belongs to a node, as no shared one may.
        _storage_class(STORAGE_CLASS, "local"),
        _storage_class(SHARED_STORAGE_CLASS, "hostPath"),
    ]


def _storage_class(name: str, kind: str) -> tuple[str, dict[str, Any]]:
    return (
        f"/apis/storage.k8s.io/v1/storageclasses/{name}",
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name, "annotations": {"defaultVolumeType": kind}},
            "provisioner": _PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
    )
