"""Pod specs that the `restricted` Pod Security level admits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantry.tenancy.cell import CellSpec
from tenantry.tenancy.quota import Footprint
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import Configuration, ModuleSpec, Probe, Reach
from tenantry_components.agent import (
    RENDERED_FOLDER,
    RUN_SCRIPT,
    agent_container,
    agent_volumes,
    rendered_mounts,
    run_mounts,
)
from tenantry_components.egress_login import egress_environment
from tenantry_components.manifest import Manifest, component_labels, container_security, resources, selector
from tenantry_components.namespace import WORKLOAD_ACCOUNT
from tenantry_components.trust import authority_mounts, workload_files

__all__ = ["CONFIGURATION", "SCRIPTS", "placement", "pod_security", "pod_template"]

CONFIGURATION = "workload"
"""The ConfigMap with the workload's agent configuration, templates and run.sh."""
SCRIPTS = "scripts"


def pod_security(uid: int, gid: int, *, port_start: int | None = None) -> Manifest:
    """Security of a whole pod. port_start: lowest port that it may bind; None: the kernel's (1024)."""
    security: Manifest = {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": gid,
        "fsGroup": gid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if port_start is not None:
        security["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": str(port_start)}]
    return security


def pod_template(
    spec: TenantSpec, module: ModuleSpec, *, command: Sequence[str], lasting: bool, annotations: Mapping[str, str]
) -> Manifest:
    """The pod of one module.

    command: what it runs. lasting: a Deployment's pod, which runs on and restarts when a credential rotates; else a
    Job's, which runs once.
    """
    templates = workload_files(spec)
    container = _container(spec, module, command=command, lasting=lasting)
    pod: Manifest = {
        "serviceAccountName": WORKLOAD_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(
            spec.workload.uid, spec.workload.gid, port_start=spec.workload.unprivileged_port_start
        ),
        "terminationGracePeriodSeconds": module.stop_grace_s,
        "restartPolicy": "Always" if lasting else "Never",
        "containers": [container],
        "volumes": _volumes(spec, module),
    }
    pod |= placement(spec.cell.spec)
    if templates:
        pod["initContainers"] = [agent_container(spec.cell.spec, templates, stays=lasting)]
    if lasting:
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(spec, module.name)},
            }
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ]
    return {
        "metadata": {"labels": component_labels(spec, module.name), "annotations": dict(annotations)},
        "spec": pod,
    }


def placement(cell: CellSpec) -> Manifest:
    """Which nodes a tenant's pod goes to, where the cell keeps some for tenants: part of its spec."""
    labels = cell.kubernetes.tenant_nodes
    if not labels:
        return {}
    tolerations = [{"key": key, "operator": "Equal", "value": value} for key, value in sorted(labels.items())]
    return {"nodeSelector": dict(labels), "tolerations": tolerations}


def _container(spec: TenantSpec, module: ModuleSpec, *, command: Sequence[str], lasting: bool) -> Manifest:
    templates = workload_files(spec)
    restarting = lasting and bool(templates)
    started_by_script = restarting or Reach.EGRESS in module.reach
    container: Manifest = {
        "name": module.name,
        "image": spec.workload.image,
        "command": ["/bin/sh", RUN_SCRIPT, *command] if started_by_script else list(command),
        "env": _environment(module, restarting=restarting),
        "resources": resources(
            Footprint(
                cpu_request_m=module.cpu_request_m,
                cpu_limit_m=module.cpu_limit_m,
                memory_request_mib=module.memory_request_mib,
                memory_limit_mib=module.memory_limit_mib,
                ephemeral_mib=module.scratch_mib,
            )
        ),
        "securityContext": container_security(),
        "volumeMounts": _mounts(spec, module, templates, script=started_by_script),
    }
    if module.port is not None:
        container["ports"] = [{"name": "http", "containerPort": module.port, "protocol": "TCP"}]
    if not lasting:
        return container
    for name, probe in (("startup", module.startup), ("readiness", module.readiness), ("liveness", module.liveness)):
        if probe is not None:
            container[f"{name}Probe"] = _probe(probe)
    if module.public:
        # The ingress controller goes on sending for a moment after the pod has begun to end.
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    return container


def _environment(module: ModuleSpec, *, restarting: bool) -> list[Manifest]:
    result: list[Manifest] = [{"name": name, "value": value} for name, value in module.environment]
    if restarting:
        result.append({"name": "TENANTRY_CONFIGURATION", "value": RENDERED_FOLDER})
    if Reach.EGRESS in module.reach:
        declared = {name for name, _value in module.environment}
        result += [variable for variable in egress_environment() if variable["name"] not in declared]
    return result


def _probe(probe: Probe) -> Manifest:
    result: Manifest = {
        "initialDelaySeconds": probe.initial_delay_s,
        "periodSeconds": probe.period_s,
        "timeoutSeconds": probe.timeout_s,
        "failureThreshold": probe.failure_threshold,
    }
    if probe.path is not None:
        result["httpGet"] = {"path": probe.path, "port": "http" if probe.port is None else probe.port}
    elif probe.port is not None:
        result["tcpSocket"] = {"port": probe.port}
    else:
        result["exec"] = {"command": list(probe.command)}
    return result


def _mounts(
    spec: TenantSpec, module: ModuleSpec, templates: Sequence[Configuration], *, script: bool
) -> list[Manifest]:
    storage = {volume.name: volume for volume in spec.workload.storage}
    mounts: list[Manifest] = [
        {"name": f"scratch-{index}", "mountPath": path} for index, path in enumerate(spec.workload.writable_paths)
    ]
    mounts += [{"name": name, "mountPath": storage[name].mount_path} for name in module.mounts]
    if spec.workload.scripts:
        mounts.append({"name": SCRIPTS, "mountPath": spec.workload.scripts_path, "readOnly": True})
    if templates:
        mounts += rendered_mounts(templates)
    if script:
        mounts += run_mounts()
    return [*mounts, *authority_mounts(spec)]


def _volumes(spec: TenantSpec, module: ModuleSpec) -> list[Manifest]:
    volumes: list[Manifest] = [
        {"name": f"scratch-{index}", "emptyDir": {"sizeLimit": f"{module.scratch_mib}Mi"}}
        for index, _path in enumerate(spec.workload.writable_paths)
    ]
    volumes += [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in module.mounts]
    if spec.workload.scripts:
        volumes.append({"name": SCRIPTS, "configMap": {"name": SCRIPTS}})
    if workload_files(spec):
        volumes += agent_volumes(spec.cell.spec, CONFIGURATION)
    elif spec.cell.spec.ca_bundle:
        volumes.append({"name": "cell-ca", "configMap": {"name": "cell-ca"}})
    return volumes
