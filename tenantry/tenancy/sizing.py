"""A workload's modules, sized for one tenant: the plan's size class, the tenant's overrides, the environment's caps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tenantry.tenancy.findings import Findings
from tenantry.tenancy.model import ModuleOverride, Tenant
from tenantry.tenancy.placeholders import fill
from tenantry.tenancy.plans import EnvironmentClass, Plan
from tenantry.tenancy.quantity import cpu_text, mebibytes_text
from tenantry.tenancy.spec import DatabaseTier, MessagingKind
from tenantry.tenancy.workload import ModuleFields, ProbeFields, SourceFields, Workload
from tenantry.tenancy.workload_spec import ModuleKind, ModuleSpec, Probe, ScalingSource, ScheduledTask, SmokeCheck

__all__ = ["module_specs"]

_UNTOUCHED = ModuleOverride()
_COUNTED = {"scale": "replicas"}
"""Fields that ask for something of another name."""


def module_specs(
    tenant: Tenant,
    workload: Workload,
    plan: Plan,
    environment: EnvironmentClass,
    *,
    tier: DatabaseTier,
    plans: Mapping[str, Plan],
    values: Mapping[str, str],
    findings: Findings,
) -> tuple[ModuleSpec, ...]:
    """The modules that are switched on. tier: of its database. values: for placeholders. What breaks a bound goes to
    `findings`."""
    specs = []
    for module in workload.spec.modules:
        override = tenant.spec.modules.get(module.name, _UNTOUCHED)
        enabled = module.enabled if override.enabled is None else override.enabled
        if not enabled and not module.optional:
            findings.add(
                ("spec", "modules", module.name, "enabled"),
                f"module {module.name} cannot be switched off: the workload does not run without it",
                hint="leave enabled out",
            )
        _check_bounds(module, override, plan, environment, plans=plans, findings=findings)
        if enabled:
            specs.append(_sized(module, override, workload, plan, environment, tier, values))
    return tuple(specs)


def _check_bounds(
    module: ModuleFields,
    override: ModuleOverride,
    plan: Plan,
    environment: EnvironmentClass,
    *,
    plans: Mapping[str, Plan],
    findings: Findings,
) -> None:
    at = ("spec", "modules", module.name)
    bounds = module.sizes[plan.spec.size].bounds
    scales = module.kind in (ModuleKind.SERVICE, ModuleKind.WORKER)
    for field in ("replicas", "scale"):
        if getattr(override, field) is not None and not scales:
            findings.add(
                (*at, field),
                f"module {module.name} is {module.kind.value}: it has no replicas to set",
                hint=f"leave {field} out",
                at_key=True,
            )
    if override.scale == 0 and module.public:
        findings.add(
            (*at, "scale"),
            f"module {module.name} answers the tenant's hosts: it cannot be scaled to nothing",
            hint="to stop the tenant write suspended: true, which goes on answering unsubscribe links",
        )
    asked: tuple[tuple[str, int | None, int, str], ...] = (
        ("scale", override.scale if scales else None, bounds.replicas, str(bounds.replicas)),
        (
            "replicas",
            override.replicas.max if override.replicas is not None and scales else None,
            bounds.replicas,
            str(bounds.replicas),
        ),
        ("cpu", override.cpu, bounds.cpu, cpu_text(bounds.cpu)),
        ("memory", override.memory, bounds.memory, mebibytes_text(bounds.memory)),
    )
    for name, wanted, most, text in asked:
        if wanted is not None and wanted > most:
            findings.add(
                (*at, name),
                f"plan {plan.name} allows module {module.name} at most {text} {_COUNTED.get(name, name)}",
                hint=_plan_for(module, _COUNTED.get(name, name), wanted, plans) or f"write at most {text}",
            )
    cap = environment.spec.max_replicas
    highest = override.replicas.max if override.replicas is not None else None
    for field, count in (("replicas", highest), ("scale", override.scale)):
        if cap is not None and scales and count is not None and count > cap:
            findings.add(
                (*at, field),
                f"environment {environment.metadata.name} allows at most {cap} replica(s) a module",
                hint=f"leave {field} out, or make it a production environment",
            )


def _plan_for(module: ModuleFields, name: str, wanted: int, plans: Mapping[str, Plan]) -> str | None:
    """A hint naming the plans that would allow it."""
    fitting = [one.name for one in plans.values() if getattr(module.sizes[one.spec.size].bounds, name) >= wanted]
    return f"plan {' or '.join(sorted(fitting))} allows it" if fitting else None


def _sized(
    module: ModuleFields,
    override: ModuleOverride,
    workload: Workload,
    plan: Plan,
    environment: EnvironmentClass,
    tier: DatabaseTier,
    values: Mapping[str, str],
) -> ModuleSpec:
    size = module.sizes[plan.spec.size]
    scales = module.kind in (ModuleKind.SERVICE, ModuleKind.WORKER)
    least, most = size.min, size.max
    if override.replicas is not None and scales:
        least, most = override.replicas.min, override.replicas.max
    if environment.spec.max_replicas is not None:
        least, most = min(least, environment.spec.max_replicas), min(most, environment.spec.max_replicas)
    by_hand = override.scale if scales else None
    if by_hand is not None:
        # Its room stays at least what the plan gives it, so that going back and forth moves no quota.
        least, most = by_hand, max(most, by_hand)
    cpu = size.cpu if override.cpu is None else override.cpu
    memory = size.memory if override.memory is None else override.memory
    variables = {**workload.spec.environment, **module.environment}
    scaling = module.scaling
    return ModuleSpec(
        name=module.name,
        title=module.title,
        kind=module.kind,
        command=tuple(fill(part, values) for part in module.command),
        tasks=tuple(
            ScheduledTask(
                name=task.name,
                schedule=task.schedule,
                command=tuple(
                    fill(part, {**values, "task.name": task.name, "task.deadlineS": str(task.deadline_s)})
                    for part in task.command
                ),
                deadline_s=task.deadline_s,
            )
            for task in module.tasks
        ),
        environment=tuple((name, fill(value, values)) for name, value in sorted(variables.items())),
        port=module.port,
        public=module.public,
        replicas_min=least,
        replicas_max=most,
        cpu_target_percent=module.cpu_target_percent,
        cpu_request_m=cpu,
        cpu_limit_m=cpu * module.cpu_burst,
        memory_request_mib=memory,
        memory_limit_mib=memory,
        scratch_mib=module.scratch,
        readiness=_probe(module.readiness),
        liveness=_probe(module.liveness),
        startup=_probe(module.startup),
        mounts=module.mounts,
        reach=module.reach,
        metrics_path=module.metrics_path,
        database_connections=module.database_connections,
        stop_grace_s=module.stop_grace_s,
        run_before=module.run_before,
        group=module.group,
        essential_paths=module.essential_paths,
        by_hand=by_hand,
        smoke=tuple(
            SmokeCheck(path=fill(one.path, values), status=one.status, text=one.text and fill(one.text, values))
            for one in module.smoke
        ),
        sources=() if scaling is None else _sources(scaling.sources, plan, tier),
        raise_after_s=0 if scaling is None else scaling.raise_after_s,
        lower_after_s=300 if scaling is None else scaling.lower_after_s,
    )


def _sources(sources: Iterable[SourceFields], plan: Plan, tier: DatabaseTier) -> tuple[ScalingSource, ...]:
    """Those that can be read: without RabbitMQ, a queue is a table of its own schema; a server of the tenant's own is
    open to its own modules alone, so that nothing is counted there."""
    has_queues = plan.spec.messaging.kind is MessagingKind.RABBITMQ
    found = []
    for one in sources:
        queue = one.queue if has_queues else None
        query = one.query if queue is None and tier is DatabaseTier.SHARED else None
        if queue is not None or query is not None:
            found.append(ScalingSource(name=one.name, queue=queue, query=query, per_replica=one.per_replica))
    return tuple(found)


def _probe(probe: ProbeFields | None) -> Probe | None:
    if probe is None:
        return None
    return Probe(
        path=probe.path,
        port=probe.port,
        command=probe.command,
        initial_delay_s=probe.initial_delay_s,
        period_s=probe.period_s,
        timeout_s=probe.timeout_s,
        failure_threshold=probe.failure_threshold,
    )
