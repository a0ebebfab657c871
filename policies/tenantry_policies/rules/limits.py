"""Everything is bounded: CPU, memory, scratch space, and time."""

from __future__ import annotations

from tenantry.tenancy.judgement import Level
from tenantry_policies.rule import Rule, Sentences, resource_rule
from tenantry_policies.view import POD_OWNERS, Resource, items, mapping, named

__all__ = ["RULES"]


@resource_rule(*POD_OWNERS)
def container_without_limits(owner: Resource) -> Sentences:
    """Every container has requests and limits for CPU, memory and ephemeral storage.

    A container without them takes from its neighbours on the node, and a quota cannot count it.
    """
    for container in owner.containers:
        resources = mapping(container.get("resources"))
        for kind in ("requests", "limits"):
            missing = [
                name for name in ("cpu", "memory", "ephemeral-storage") if not named(mapping(resources.get(kind)), name)
            ]
            if missing:
                yield f"container {container.get('name')} has no {kind} for {', '.join(missing)}; add them"


@resource_rule(*POD_OWNERS)
def unbounded_scratch(owner: Resource) -> Sentences:
    """Every emptyDir has a size limit.

    One that has none fills the node's disk, or its memory, for everybody there.
    """
    for volume in (mapping(one) for one in items(owner.pod.get("volumes"))):
        if named(volume, "emptyDir") and not mapping(volume["emptyDir"]).get("sizeLimit"):
            yield f"volume {volume.get('name')} may grow without end; give its emptyDir a sizeLimit"


@resource_rule("Job", "CronJob", level=Level.ADVISORY)
def job_without_deadline(owner: Resource) -> Sentences:
    """A Job ends after a time, and a CronJob never runs beside itself.

    A run that hangs holds its quota for ever; two at once send the same mail twice.
    """
    spec = owner.spec
    if owner.key == "CronJob":
        if spec.get("concurrencyPolicy") not in ("Forbid", "Replace"):
            yield "two runs may overlap; set concurrencyPolicy to Forbid"
        spec = mapping(mapping(spec.get("jobTemplate")).get("spec"))
    if not named(spec, "activeDeadlineSeconds"):
        yield "a run may hang for ever; set activeDeadlineSeconds"


@resource_rule("Deployment", "StatefulSet", level=Level.ADVISORY)
def server_without_probes(owner: Resource) -> Sentences:
    """A container that listens says when it is ready and whether it lives.

    Without a readiness probe traffic goes to pods that cannot serve it yet, and a rollout does not stop at a
    bad release.
    """
    for container in (mapping(one) for one in items(owner.pod.get("containers"))):
        if not items(container.get("ports")):
            continue
        missing = [name for name in ("readinessProbe", "livenessProbe") if not named(container, name)]
        if missing:
            yield f"container {container.get('name')} has no {' and no '.join(missing)}; add it"


RULES: tuple[Rule, ...] = (container_without_limits, unbounded_scratch, job_without_deadline, server_without_probes)
