"""The classes of volumes in an AWS cell's cluster, as manifests: both encrypted, the first by the cell's own key."""

from __future__ import annotations

import io
from collections.abc import Sequence

from ruamel.yaml import YAML

from tenantry.tenancy.cloud_cell import SHARED_STORAGE_CLASS, STORAGE_CLASS
from tenantry_components.manifest import Manifest

__all__ = ["volume_classes"]


def volume_classes(found: Sequence[str]) -> str:
    """YAML for `kubectl apply`. found: the file system's id for shared volumes, the ARN of the key for the others."""
    file_system, key = found
    common: Manifest = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "allowVolumeExpansion": True}
    classes = [
        {
            **common,
            "metadata": {"name": STORAGE_CLASS},
            "provisioner": "ebs.csi.aws.com",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Retain",
            "parameters": {"type": "gp3", "encrypted": "true", "kmsKeyId": key},
        },
        {
            **common,
            "metadata": {"name": SHARED_STORAGE_CLASS},
            "provisioner": "efs.csi.aws.com",
            "reclaimPolicy": "Retain",
            "mountOptions": ["tls"],
            "parameters": {
                "provisioningMode": "efs-ap",
                "fileSystemId": file_system,
                "directoryPerms": "700",
                "basePath": "/tenants",
            },
        },
    ]
    stream = io.StringIO()
    YAML().dump_all(classes, stream)
    return stream.getvalue()
