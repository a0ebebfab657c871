"""The fence that a namespace is: Pod Security, quota, and nothing of a tenant outside of it."""

from __future__ import annotations

import re
from typing import Any

from tenantry_policies.rule import Findings, Rule, Sentences, resource_rule, stack_rule
from tenantry_policies.view import Resource, Stack, mapping

__all__ = ["RULES"]

_ENFORCE = "pod-security.kubernetes.io/enforce"
_VERSION = re.compile(r"latest|v1\.(3[4-9]|[4-9][0-9])")


@resource_rule("Namespace")
def namespace_not_restricted(namespace: Resource) -> Sentences:
    """Every namespace enforces Pod Security `restricted`, in version v1.34 or later.

    Pod Security is what the API server itself refuses by, whoever asks; older versions of the profile admit more.
    """
    if namespace.labels.get(_ENFORCE) != "restricted":
        yield f"the namespace does not enforce Pod Security `restricted`; set the label {_ENFORCE} to restricted"
    version = namespace.labels.get(f"{_ENFORCE}-version")
    if version is not None and not _VERSION.fullmatch(str(version)):
        yield f"the namespace enforces Pod Security of {version}; set the label {_ENFORCE}-version to v1.34 or later"


@stack_rule()
def namespace_without_quota(stack: Stack) -> Findings:
    """A tenant's namespace has a ResourceQuota over CPU, memory, storage and pods, with no node port or load balancer.

    Without it one tenant can take what the others pay for, and a Service of type LoadBalancer is a way in that goes
    round the ingress controller and the network policies.
    """
    namespace = stack.tenant
    if namespace is None:
        return
    hard: dict[str, Any] = {}
    for quota in stack.of("ResourceQuota"):
        if quota.namespace == namespace.namespace:
            hard.update(mapping(quota.spec.get("hard")))
    wanted = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory", "requests.storage", "pods")
    missing = [name for name in wanted if name not in hard]
    if missing:
        yield (
            namespace,
            f"the quota of namespace {namespace.namespace} lacks {', '.join(missing)}; add them to a ResourceQuota",
        )
    for name in ("services.nodeports", "services.loadbalancers"):
        if str(hard.get(name)) != "0":
            yield (
                namespace,
                f"the quota of namespace {namespace.namespace} allows {name}; set it to 0 in a ResourceQuota",
            )


@stack_rule()
def namespace_without_limit_defaults(stack: Stack) -> Findings:
    """A tenant's namespace has a LimitRange with default limits for containers.

    The quota refuses a pod that names no limits; with defaults somebody's debug pod still starts, and is bounded.
    """
    namespace = stack.tenant
    if namespace is not None and not any(one.namespace == namespace.namespace for one in stack.of("LimitRange")):
        yield namespace, f"namespace {namespace.namespace} has no LimitRange; add one with defaults for containers"


@stack_rule()
def object_outside_the_tenant(stack: Stack) -> Findings:
    """All objects of a tenant's stack stand in the tenant's own namespace.

    What stands elsewhere, or in no namespace, is outside of the fence, the quota and the deletion of the tenant.
    """
    if stack.tenant is None:
        return
    home = stack.tenant.namespace
    for one in stack.resources:
        if one.is_kubernetes and one is not stack.tenant and one.namespace != home:
            place = f"in namespace {one.namespace}" if one.namespace else "in no namespace"
            yield one, f"it stands {place}; set metadata.namespace to {home}, or move it to the cell's stack"


RULES: tuple[Rule, ...] = (
    namespace_not_restricted,
    namespace_without_quota,
    namespace_without_limit_defaults,
    object_outside_the_tenant,
)
