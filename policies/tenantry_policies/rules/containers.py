"""What a pod may be: Pod Security `restricted` said rule by rule, and what it does not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tenantry.tenancy.judgement import Level
from tenantry_policies.rule import Rule, Sentences, resource_rule
from tenantry_policies.view import POD_OWNERS, Resource, items, mapping, named

__all__ = ["RULES"]

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_SECCOMP = {"RuntimeDefault", "Localhost"}
_AGENT = "agent"


def _changed(resource: Resource, change: Callable[[dict[str, Any]], bool]) -> Mapping[str, Any] | None:
    """The inputs with the pod's specification changed in a copy; None where nothing had to be."""
    inputs: dict[str, Any] = _copied(resource.inputs)
    pod = replace(resource, inputs=inputs).pod
    return inputs if isinstance(pod, dict) and change(pod) else None


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(value[key]) for key in value}
    return [_copied(one) for one in value] if items(value) else value


def _security(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(resource.get("securityContext"))


@resource_rule(*POD_OWNERS)
def host_access(owner: Resource) -> Sentences:
    """A pod shares nothing of its node: no network, processes, IPC, folders or ports.

    Whoever shares the node's network is outside of every NetworkPolicy; whoever reads its folders reads other tenants'.
    """
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if owner.pod.get(field):
            yield f"the pod sets {field}; take it away"
    for volume in (mapping(one) for one in items(owner.pod.get("volumes"))):
        if named(volume, "hostPath"):
            yield f"volume {volume.get('name')} is a folder of the node; use an emptyDir or a persistentVolumeClaim"
    for container in owner.containers:
        for port in (mapping(one) for one in items(container.get("ports"))):
            if port.get("hostPort"):
                yield f"container {container.get('name')} takes port {int(port['hostPort'])} of the node; drop it"
        if mapping(_security(container).get("windowsOptions")).get("hostProcess"):
            yield f"container {container.get('name')} is a process of the host; remove windowsOptions.hostProcess"


def _forbid_escalation(owner: Resource) -> Mapping[str, Any] | None:
    def change(pod: dict[str, Any]) -> bool:
        missing = [
            container
            for kind in ("initContainers", "containers")
            for container in pod.get(kind) or ()
            if (container.get("securityContext") or {}).get("allowPrivilegeEscalation") is None
        ]
        for container in missing:
            container["securityContext"] = {**_security(container), "allowPrivilegeEscalation": False}
        return bool(missing)

    return _changed(owner, change)


@resource_rule(*POD_OWNERS, level=Level.REMEDIATING, remedy=_forbid_escalation)
def privilege_escalation(owner: Resource) -> Sentences:
    """A container cannot gain more privileges than it started with: allowPrivilegeEscalation is false.

    With it, a setuid program in an image undoes `runAsNonRoot`.
    """
    for container in owner.containers:
        if _security(container).get("allowPrivilegeEscalation") is not False:
            yield (
                f"container {container.get('name')} may gain privileges; set "
                f"securityContext.allowPrivilegeEscalation to false"
            )


@resource_rule(*POD_OWNERS)
def privileged_container(owner: Resource) -> Sentences:
    """A container is not privileged and drops every capability; only NET_BIND_SERVICE may be added.

    A privileged container is root on the node, and so on every tenant there.
    """
    for container in owner.containers:
        name, security = container.get("name"), _security(container)
        if security.get("privileged"):
            yield f"container {name} is privileged; take securityContext.privileged away"
        capabilities = mapping(security.get("capabilities"))
        if "ALL" not in items(capabilities.get("drop")):
            yield f"container {name} keeps capabilities; set securityContext.capabilities.drop to [ALL]"
        added = sorted(set(items(capabilities.get("add"))) - {"NET_BIND_SERVICE"})
        if added:
            yield f"container {name} adds {', '.join(added)}; remove them from securityContext.capabilities.add"
        if security.get("procMount") not in (None, "Default"):
            yield f"container {name} sees more of /proc; remove securityContext.procMount"


@resource_rule(*POD_OWNERS)
def container_as_root(owner: Resource) -> Sentences:
    """Every container runs as a user that is not root.

    A way out of a container then ends as nobody in particular.
    """
    pod = _security(owner.pod)
    for container in owner.containers:
        security = _security(container)
        own = security.get("runAsNonRoot")
        if (pod.get("runAsNonRoot") if own is None else own) is not True:
            yield f"container {container.get('name')} may run as root; set securityContext.runAsNonRoot to true"
        user = security.get("runAsUser")
        if (pod.get("runAsUser") if user is None else user) == 0:
            yield f"container {container.get('name')} runs as user 0; give securityContext.runAsUser another one"


def _confine(owner: Resource) -> Mapping[str, Any] | None:
    def change(pod: dict[str, Any]) -> bool:
        containers = [one for kind in ("initContainers", "containers") for one in pod.get(kind) or ()]
        if _security(pod).get("seccompProfile") is not None or any(
            _security(one).get("seccompProfile") is not None for one in containers
        ):
            return False
        pod["securityContext"] = {**_security(pod), "seccompProfile": {"type": "RuntimeDefault"}}
        return True

    return _changed(owner, change)


@resource_rule(*POD_OWNERS, level=Level.REMEDIATING, remedy=_confine)
def unconfined_container(owner: Resource) -> Sentences:
    """Every container has a seccomp profile, and none takes AppArmor, SELinux or the kernel's settings into its hands.

    The runtime's profile closes the rare system calls through which containers are left.
    """
    pod = _security(owner.pod)
    for container in owner.containers:
        own = mapping(_security(container).get("seccompProfile")).get("type")
        if (mapping(pod.get("seccompProfile")).get("type") if own is None else own) not in _SECCOMP:
            yield (
                f"container {container.get('name')} has no seccomp profile; set securityContext.seccompProfile.type "
                f"to RuntimeDefault"
            )
    for where, security in (
        ("the pod", pod),
        *((f"container {c.get('name')}", _security(c)) for c in owner.containers),
    ):
        if mapping(security.get("appArmorProfile")).get("type") == "Unconfined":
            yield f"{where} is out of AppArmor; set appArmorProfile.type to RuntimeDefault"
        options = mapping(security.get("seLinuxOptions"))
        if options.get("user") or options.get("role"):
            yield f"{where} chooses an SELinux user or role; remove them"
    for sysctl in (mapping(one) for one in items(pod.get("sysctls"))):
        if sysctl.get("name") not in _SAFE_SYSCTLS:
            yield f"the pod sets the kernel's {sysctl.get('name')}; remove it, only safe ones may be set"


@resource_rule(*POD_OWNERS)
def foreign_volume(owner: Resource) -> Sentences:
    """A pod mounts only volumes that belong to its namespace.

    Other kinds (NFS, iSCSI, a cloud's disk by its id) reach data that no namespace fences.
    """
    for volume in (mapping(one) for one in items(owner.pod.get("volumes"))):
        kinds = sorted(set(volume) - {"name"} - _VOLUMES - {"hostPath"})
        if kinds:
            yield f"volume {volume.get('name')} is of kind {', '.join(kinds)}; use a persistentVolumeClaim"


def _without_token(owner: Resource) -> Mapping[str, Any] | None:
    if owner.is_cells:
        return None
    if owner.key == "ServiceAccount":
        missing = owner.inputs.get("automountServiceAccountToken") is None
        return {**_copied(owner.inputs), "automountServiceAccountToken": False} if missing else None

    def change(pod: dict[str, Any]) -> bool:
        if pod.get("automountServiceAccountToken") is not None:
            return False
        pod["automountServiceAccountToken"] = False
        return True

    return _changed(owner, change)


@resource_rule(*POD_OWNERS, "ServiceAccount", level=Level.REMEDIATING, remedy=_without_token)
def kubernetes_token_in_tenant(owner: Resource) -> Sentences:
    """A tenant's pods have no Kubernetes identity; a token for OpenBao is mounted into the credentials agent alone.

    An application that is broken into would otherwise speak to the API server, or as the tenant to OpenBao.
    """
    if owner.is_cells:
        return
    holder = owner.inputs if owner.key == "ServiceAccount" else owner.pod
    if holder.get("automountServiceAccountToken") is not False:
        yield "a service account token is mounted; set automountServiceAccountToken to false"
    if owner.key == "ServiceAccount":
        return
    tokens = set()
    for volume in (mapping(one) for one in items(owner.pod.get("volumes"))):
        for source in (mapping(one) for one in items(mapping(volume.get("projected")).get("sources"))):
            if named(source, "serviceAccountToken"):
                tokens.add(volume.get("name"))
                if not mapping(source["serviceAccountToken"]).get("audience"):
                    yield f"the token in volume {volume.get('name')} opens the API server; give it OpenBao's audience"
    for container in owner.containers:
        mounted = sorted({mapping(one).get("name") for one in items(container.get("volumeMounts"))} & tokens, key=str)
        if mounted and container.get("name") != _AGENT:
            yield f"container {container.get('name')} mounts the token in {mounted[0]}; only the container agent may"


@resource_rule(*POD_OWNERS)
def shared_processes(owner: Resource) -> Sentences:
    """The containers of a pod do not share their processes.

    The credentials agent's token could be read through them.
    """
    if owner.pod.get("shareProcessNamespace"):
        yield "the pod's containers see one another's processes; take shareProcessNamespace away"


@resource_rule(*POD_OWNERS, level=Level.ADVISORY)
def writable_root(owner: Resource) -> Sentences:
    """A container's root file system is read-only.

    What breaks in then cannot leave anything behind; folders that must be written are volumes.
    """
    for container in owner.containers:
        if _security(container).get("readOnlyRootFilesystem") is not True:
            yield (
                f"container {container.get('name')} can change its own programs; set "
                f"securityContext.readOnlyRootFilesystem to true and mount what it writes"
            )


RULES: tuple[Rule, ...] = (
    host_access,
    privileged_container,
    privilege_escalation,
    container_as_root,
    unconfined_container,
    foreign_volume,
    kubernetes_token_in_tenant,
    shared_processes,
    writable_root,
)
