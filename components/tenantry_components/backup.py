"""The tenant's backup: a scheduled dump of its schema, media and application secrets, sealed by its transit key.

The backup's process has no OpenBao token. The agent beside it answers OpenBao's API on the pod's loopback with its
own login, so that data keys are wrapped, and credentials read, without the process ever holding what opens them.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tenantry.tenancy.quota import BACKUP as FOOTPRINT
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import Configuration
from tenantry_components.agent import (
    CA_FOLDER,
    RUN_SCRIPT,
    agent_container,
    agent_volumes,
    configuration_manifest,
    rendered_mounts,
    run_mounts,
)
from tenantry_components.egress_login import egress_environment, egress_file
from tenantry_components.manifest import (
    Manifest,
    component_labels,
    container_security,
    register,
    resources,
    selector,
)
from tenantry_components.module import scheduled
from tenantry_components.namespace import BACKUP_ACCOUNT
from tenantry_components.network_rules import BACKUP
from tenantry_components.pod import placement, pod_security
from tenantry_components.trust import authorities, authority_mounts

__all__ = ["Backup", "backup_environment", "backup_job", "backup_manifests", "media_job"]

_OPENBAO_PORT = 8100
_SCRATCH_MIB = FOOTPRINT.ephemeral_mib


class Backup(pulumi.ComponentResource):
    """spec: the tenant. after: the fence and the volumes that it reads. Makes nothing when backups are off.

    Outputs: `prefix`, where the copies are below the cell's backup store.
    """

    def __init__(
        self,
        name: str,
        spec: TenantSpec,
        *,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:tenant:Backup", name, None, opts)
        ready = after
        for manifest in backup_manifests(spec) if spec.backup.enabled else ():
            ready = [register(manifest, parent=self, after=ready)]
        self.prefix = pulumi.Output.from_input(spec.names.backup_prefix)
        self.register_outputs({"prefix": self.prefix})


def backup_manifests(spec: TenantSpec) -> tuple[Manifest, ...]:
    """The agent's ConfigMap and the CronJob, in this order."""
    return (
        configuration_manifest(spec, BACKUP, _files(spec), proxy_port=_OPENBAO_PORT),
        _cron_job(spec, _template(spec)),
    )


def backup_job(spec: TenantSpec, name: str) -> Manifest:
    """One run of the schedule's, now."""
    return _job(spec, name, _template(spec))


def media_job(spec: TenantSpec, name: str, identifier: str, *, folder: str = "") -> Manifest:
    """What brings the media of a backup back: the same with another command, and volumes that it may fill. Nobody waits
    for its next time, so that it is tried again at once. folder: below the tenant's prefix, where the backup is."""
    job = _job(spec, name, _template(spec, command=("media", identifier), fills=True, folder=folder))
    job["spec"]["backoffLimit"] = 2
    return job


def _cron_job(spec: TenantSpec, template: Manifest) -> Manifest:
    return scheduled(
        spec,
        BACKUP,
        component=BACKUP,
        schedule=spec.backup.schedule,
        deadline_s=spec.backup.deadline_s,
        template=template,
    )


def _job(spec: TenantSpec, name: str, template: Manifest) -> Manifest:
    made = _cron_job(spec, template)["spec"]["jobTemplate"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": spec.names.namespace, **made["metadata"]},
        "spec": made["spec"],
    }


def backup_environment(spec: TenantSpec, *, folder: str = "") -> dict[str, str]:
    """The backup's settings, as `tenantry-backup run` reads them: names and addresses, nothing secret. folder: below
    the tenant's prefix in the store."""
    cell, names = spec.cell.spec, spec.names
    folders = [f"{volume.name}=/backup/{volume.name}" for volume in spec.workload.storage if volume.backup]
    settings = {
        "namespace": names.namespace,
        "incarnation": spec.incarnation,
        "release": spec.workload.release,
        "auth": "agent",
        "transit_mount": cell.openbao.transit_mount,
        "transit_key": names.transit_key,
        "kv_mount": cell.openbao.kv_mount,
        "kv_path": names.kv_path,
        "database_mount": cell.openbao.database_mount,
        # The second account: its connections are not taken from the workload's.
        "database_role": names.database_role_b,
        "database_host": spec.database.host,
        "database_port": str(spec.database.port),
        "database_schema": names.schema,
        "media": ",".join(folders),
        "store_kind": cell.backups.kind,
        "store_url": cell.backups.url,
        "store_prefix": names.backup_prefix + folder,
        "keep_daily": str(spec.backup.keep_daily),
        "keep_weekly": str(spec.backup.keep_weekly),
        "keep_monthly": str(spec.backup.keep_monthly),
    }
    if authorities(spec) or cell.ca_bundle:
        settings["database_ca"] = f"{CA_FOLDER}/ca.pem"
    if cell.store_authority:
        settings["store_ca"] = f"{CA_FOLDER}/ca.pem"
    return {
        "TMPDIR": "/scratch",
        "VAULT_ADDR": f"http://127.0.0.1:{_OPENBAO_PORT}",
        **{f"TENANTRY_BACKUP_{name.upper()}": value for name, value in settings.items()},
    }


def _files(spec: TenantSpec) -> tuple[Configuration, ...]:
    """What the agent renders: whom to trust, and the login to the egress proxy where copies leave by it."""
    return (*authorities(spec), *((egress_file(spec),) if _leaves(spec) else ()))


def _leaves(spec: TenantSpec) -> bool:
    """Whether copies leave the cell's network, which they do by the egress proxy alone."""
    return spec.cell.spec.backups.peer is None


def _template(
    spec: TenantSpec, *, command: tuple[str, ...] = ("run",), fills: bool = False, folder: str = ""
) -> Manifest:
    """fills: whether it writes to the tenant's volumes."""
    volumes = [volume for volume in spec.workload.storage if volume.backup]
    pod: Manifest = {
        "serviceAccountName": BACKUP_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The workload's own ids: it has to read what the workload wrote.
        "securityContext": pod_security(spec.workload.uid, spec.workload.gid),
        **placement(spec.cell.spec),
        "restartPolicy": "Never",
        "initContainers": [agent_container(spec.cell.spec, _files(spec), stays=True, proxy_port=_OPENBAO_PORT)],
        "containers": [
            {
                "name": BACKUP,
                "image": spec.cell.spec.images.located(spec.cell.spec.images.backup),
                "command": ["/bin/sh", RUN_SCRIPT, "tenantry-backup", *command],
                "env": [
                    *(
                        {"name": name, "value": value}
                        for name, value in backup_environment(spec, folder=folder).items()
                    ),
                    *(egress_environment() if _leaves(spec) else ()),
                ],
                "resources": resources(FOOTPRINT),
                "securityContext": container_security(),
                "volumeMounts": [
                    {"name": "scratch", "mountPath": "/scratch"},
                    *({"name": v.name, "mountPath": f"/backup/{v.name}", "readOnly": not fills} for v in volumes),
                    *rendered_mounts(_files(spec)),
                    *run_mounts(),
                    *authority_mounts(spec),
                ],
            }
        ],
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": f"{_SCRATCH_MIB}Mi"}},
            *({"name": v.name, "persistentVolumeClaim": {"claimName": v.name, "readOnly": not fills}} for v in volumes),
            *agent_volumes(spec.cell.spec, BACKUP),
        ],
    }
    alone = [v.name for v in volumes if not v.shared]
    users = [module.name for module in spec.workload.modules if set(alone) & set(module.mounts)]
    if users:
        # A volume for one node is where its user runs.
        pod["affinity"] = {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 100,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": selector(spec, users[0])},
                        },
                    }
                ]
            }
        }
    return {"metadata": {"labels": component_labels(spec, BACKUP)}, "spec": pod}
