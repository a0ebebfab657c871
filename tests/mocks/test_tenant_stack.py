"""The resource graph of a tenant: what is registered, under whom, protected how, and in which order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tenantry.engine.desired import Desired, DesiredResource
from tenantry.tenancy.spec import Environment, TenantSpec
from tenantry.tenancy.workload import OWN_MODULES, OWN_VOLUMES

Run = Callable[[TenantSpec], Desired]
HOLDING_DATA = {"PersistentVolumeClaim", "StatefulSet", "Schema", "TransitKey", "OwnServer"}


def kind(resource: DesiredResource) -> str:
    return resource.type.rpartition(":")[2]


def manifests(desired: Desired) -> list[Mapping[str, Any]]:
    return [one.inputs for one in desired.resources if one.is_kubernetes]


def pods(desired: Desired) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(kind and name of the owner, pod template) of everything that makes pods."""
    for manifest in manifests(desired):
        spec = manifest.get("spec", {})
        spec = spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec
        if "template" in spec:
            yield f"{manifest['kind']} {manifest['metadata']['name']}", spec["template"]


def containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def test_a_component_of_the_stack_is_the_parent_of_every_object(spec: TenantSpec, registered: Run) -> None:
    desired = registered(spec)
    by_urn = {one.urn: one for one in desired.resources}
    for one in desired.resources:
        if one.is_kubernetes or one.is_dynamic:
            assert one.parent is not None
            assert one.parent in by_urn
            assert by_urn[one.parent].type.startswith("tenantry:tenant:"), one.urn


def test_what_holds_data_is_kept_except_in_test_environments(spec: TenantSpec, registered: Run) -> None:
    kept = [one for one in registered(spec).resources if kind(one) in HOLDING_DATA or one.name == "application"]
    assert {"PersistentVolumeClaim", "TransitKey"} <= {kind(one) for one in kept}
    keep = spec.environment is not Environment.TEST
    assert [(one.urn, one.protect, one.retain_on_delete) for one in kept] == [(one.urn, keep, keep) for one in kept]


def test_every_object_says_its_name_its_namespace_and_whose_it_is(spec: TenantSpec, registered: Run) -> None:
    for manifest in manifests(registered(spec)):
        metadata = manifest["metadata"]
        if manifest["kind"] != "Namespace":
            assert metadata["namespace"] == spec.names.namespace
        assert metadata["name"]
        assert spec.labels.items() <= metadata["labels"].items(), metadata["name"]


def test_the_same_spec_registers_the_same_twice(spec: TenantSpec, registered: Run) -> None:
    first, second = registered(spec), registered(spec)
    described = [
        {one.urn: (one.inputs, one.parent, sorted(one.dependencies)) for one in run.resources if not one.is_provider}
        for run in (first, second)
    ]
    assert described[0] == described[1]
    assert first.outputs == second.outputs


def test_replicas_are_never_sent(spec: TenantSpec, registered: Run) -> None:
    scaled = [one for one in manifests(registered(spec)) if one["kind"] in {"Deployment", "StatefulSet"}]
    assert scaled
    assert not [one["metadata"]["name"] for one in scaled if "replicas" in one["spec"]]


def test_no_pod_starts_before_its_fence(spec: TenantSpec, registered: Run) -> None:
    """Quota, limits and every policy stand before anything that makes pods, along the graph of dependencies."""
    resources = {one.urn: one for one in registered(spec).resources}

    def before(urn: str, seen: set[str]) -> set[str]:
        for reference in resources[urn].dependencies:
            if reference not in seen:
                seen.add(reference)
                before(reference, seen)
        return seen

    fence = {
        urn
        for urn, one in resources.items()
        if kind(one) in {"Namespace", "ResourceQuota", "LimitRange", "NetworkPolicy"} and one.custom
    }
    for urn, one in resources.items():
        if one.is_kubernetes and kind(one) in {"Deployment", "StatefulSet", "Job", "CronJob"}:
            assert fence <= before(urn, set()), urn


def test_migrations_run_before_the_modules_and_one_after_the_other(spec: TenantSpec, registered: Run) -> None:
    resources = registered(spec).resources
    install, migrate = (one for one in resources if kind(one) == "Job")
    web = next(one for one in resources if kind(one) == "Deployment" and one.name == "web")
    assert install.urn in migrate.dependencies
    assert migrate.urn in web.dependencies


def test_pods_are_what_pod_security_restricted_admits(spec: TenantSpec, registered: Run) -> None:
    """The rules of the level, written out; a real API server checks the same in the integration tests."""
    volumes = {"configMap", "emptyDir", "persistentVolumeClaim", "projected"}
    for owner, pod in pods(registered(spec)):
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, owner
        assert security["runAsUser"] > 0, owner
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert {one["name"] for one in security.get("sysctls", [])} <= {"net.ipv4.ip_unprivileged_port_start"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod["spec"].keys(), owner
        for volume in pod["spec"]["volumes"]:
            assert volumes & volume.keys(), (owner, volume)
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "privileged": False,
                "readOnlyRootFilesystem": True,
            }, owner


def test_every_container_has_requests_and_limits(spec: TenantSpec, registered: Run) -> None:
    for owner, pod in pods(registered(spec)):
        for container in containers(pod):
            for bound in ("requests", "limits"):
                assert set(container["resources"][bound]) == {"cpu", "memory", "ephemeral-storage"}, owner


def test_only_the_agent_has_a_token(spec: TenantSpec, registered: Run) -> None:
    for owner, pod in pods(registered(spec)):
        assert pod["spec"]["automountServiceAccountToken"] is False, owner
        assert pod["spec"]["serviceAccountName"] != "default", owner
        tokens = {one["name"] for one in pod["spec"]["volumes"] if "projected" in one}
        holders = {
            container["name"]
            for container in containers(pod)
            for mount in container["volumeMounts"]
            if mount["name"] in tokens
        }
        assert holders == {"agent"}, owner
        for volume in pod["spec"]["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                token = source["serviceAccountToken"]
                assert token["audience"] == spec.cell.spec.openbao.audience
                assert token["expirationSeconds"] <= 600


def test_rendered_configuration_stays_in_memory(spec: TenantSpec, registered: Run) -> None:
    for owner, pod in pods(registered(spec)):
        rendered = next(one for one in pod["spec"]["volumes"] if one["name"] == "rendered")
        assert rendered["emptyDir"]["medium"] == "Memory", owner


def test_every_mount_has_its_volume_and_no_path_is_mounted_twice(spec: TenantSpec, registered: Run) -> None:
    for owner, pod in pods(registered(spec)):
        volumes = [one["name"] for one in pod["spec"]["volumes"]]
        assert len(volumes) == len(set(volumes)), owner
        for container in containers(pod):
            paths = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert len(paths) == len(set(paths)), (owner, container["name"])
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes), owner


def test_lasting_pods_restart_with_new_credentials_and_jobs_end(spec: TenantSpec, registered: Run) -> None:
    for owner, pod in pods(registered(spec)):
        agent = next(one for one in pod["spec"]["initContainers"] if one["name"] == "agent")
        once = "-exit-after-auth" in agent["command"]
        if owner in {"Deployment web", "Deployment mail"}:
            assert agent["restartPolicy"] == "Always"
            assert agent["startupProbe"]["exec"]["command"][-1].startswith("test -s /run/tenantry/configuration/")
            assert pod["spec"]["containers"][0]["command"][:2] == ["/bin/sh", "/run/tenantry/bin/run.sh"]
        elif owner.startswith("Job") or owner == "CronJob segmenter-update":
            assert once
            assert "restartPolicy" not in agent


def test_probes_are_those_of_the_module(spec: TenantSpec, registered: Run) -> None:
    by_owner = dict(pods(registered(spec)))
    web = by_owner["Deployment web"]["spec"]["containers"][0]
    assert web["readinessProbe"]["httpGet"] == {"path": "/health", "port": 80}
    assert web["livenessProbe"]["tcpSocket"] == {"port": 80}
    mail = by_owner["Deployment mail"]["spec"]["containers"][0]
    assert mail["livenessProbe"]["exec"] == {"command": ["php", "alive"]}
    job = next(pod for owner, pod in by_owner.items() if owner.startswith("Job install"))
    assert not [name for name in job["spec"]["containers"][0] if name.endswith("Probe")]


def test_scheduled_tasks_neither_overlap_nor_hang(spec: TenantSpec, registered: Run) -> None:
    cron_jobs = [one for one in manifests(registered(spec)) if one["kind"] == "CronJob"]
    assert {one["metadata"]["name"] for one in cron_jobs} == {"segmenter-update", "backup"}
    for one in cron_jobs:
        assert one["spec"]["concurrencyPolicy"] == "Forbid"
        assert one["spec"]["startingDeadlineSeconds"] > 0
        job = one["spec"]["jobTemplate"]["spec"]
        assert job["activeDeadlineSeconds"] > 0
        assert job["backoffLimit"] == 0


def test_jobs_that_state_holds_have_no_time_to_live(spec: TenantSpec, registered: Run) -> None:
    jobs = [one for one in manifests(registered(spec)) if one["kind"] == "Job"]
    assert len(jobs) == 2
    assert not [one for one in jobs if "ttlSecondsAfterFinished" in one["spec"]]


def test_no_secret_object_and_no_kubeconfig_is_declared(
    spec: TenantSpec, registered: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/somebody/kubeconfig")
    desired = registered(spec)
    assert not [one for one in manifests(desired) if one["kind"] == "Secret"]
    provider = next(one for one in desired.resources if one.type == "pulumi:providers:kubernetes")
    assert "kubeconfig" not in provider.inputs
    assert "/home/somebody" not in str(desired)
    assert "password" not in json.dumps(desired.outputs)


def test_the_tenants_hosts_are_served_with_a_certificate_and_a_name(spec: TenantSpec, registered: Run) -> None:
    ingress = next(one for one in manifests(registered(spec)) if one["kind"] == "Ingress")
    assert ingress["spec"]["tls"] == [{"hosts": list(spec.hosts), "secretName": "web-tls"}]
    annotations = ingress["metadata"]["annotations"]
    assert annotations["cert-manager.io/cluster-issuer"] == "letsencrypt"
    assert annotations["external-dns.alpha.kubernetes.io/hostname"] == ",".join(spec.hosts)


def test_what_a_pod_mounts_is_made_before_the_pod(spec: TenantSpec, registered: Run) -> None:
    """Else its owner would be waited for, and never come up: on simulated nodes nobody would notice."""
    desired = registered(spec)
    by_urn = {one.urn: one for one in desired.resources}
    owners = [one for one in desired.resources if one.is_kubernetes and list(pods(replace(desired, resources=(one,))))]
    assert owners
    for owner in owners:
        before, ahead = set[str](), list(owner.dependencies)
        while ahead:
            urn = ahead.pop()
            if urn not in before:
                before.add(urn)
                ahead += by_urn[urn].dependencies
        made = {by_urn[urn].inputs["metadata"]["name"] for urn in before if kind(by_urn[urn]) == "ConfigMap"}
        ((_, pod),) = pods(replace(desired, resources=(owner,)))
        mounted = {volume["configMap"]["name"] for volume in pod["spec"].get("volumes", ()) if "configMap" in volume}
        assert mounted <= made, owner.urn


def test_no_module_and_no_storage_can_be_called_as_a_part_of_tenantrys_own(spec: TenantSpec, registered: Run) -> None:
    desired = registered(spec)
    components = {
        one["metadata"]["labels"].get("app.kubernetes.io/component", "agent") for one in manifests(desired)
    } | {container["name"] for _, pod in pods(desired) for container in containers(pod)}
    assert components - {one.name for one in spec.workload.modules} <= OWN_MODULES

    modules = {f"{kind} {one.name}" for one in spec.workload.modules for kind in ("Deployment", "Job", "CronJob")}
    volumes = {one["name"] for owner, pod in pods(desired) if owner in modules for one in pod["spec"]["volumes"]}
    claims = {one["metadata"]["name"] for one in manifests(desired) if one["kind"] == "PersistentVolumeClaim"}
    own = (volumes | claims) - {one.name for one in spec.workload.storage}
    assert {"openbao-token", "scratch-0"} <= own
    assert {re.sub(r"-\d+$", "", one) for one in own} <= OWN_VOLUMES
