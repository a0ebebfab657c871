"""From a tenant file to a `TenantSpec`: every name, size and limit decided, every rule checked.

Pure: the same tenant, catalogue, cell, incarnation and day give the same spec. Called by every driver before
anything is made; raises one InvalidInput that carries all problems.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import date
from enum import Enum
from typing import Any

from pydantic import BaseModel

from tenantry.tenancy.campaigns import Campaign, CampaignReplicas
from tenantry.tenancy.catalogue import Catalogue, WorkloadEntry
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.choosing import (
    choose_cache,
    choose_database,
    choose_entry,
    choose_installed,
    choose_messaging,
    choose_release,
)
from tenantry.tenancy.document import did_you_mean
from tenantry.tenancy.findings import Findings
from tenantry.tenancy.manifest import TenantFile
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.naming import names
from tenantry.tenancy.placeholders import fill
from tenantry.tenancy.plans import EnvironmentClass, Plan
from tenantry.tenancy.quota import connections_needed, quota_of
from tenantry.tenancy.room import Volume
from tenantry.tenancy.rules import (
    check_ceiling,
    check_connections,
    check_hosts,
    check_integrations,
    check_life,
    check_limits,
    check_modules,
    check_placement,
    check_scaling,
)
from tenantry.tenancy.sizing import module_specs
from tenantry.tenancy.spec import (
    Activity,
    BackupSpec,
    CacheSpec,
    DatabaseSpec,
    Hold,
    Installed,
    IntegrationSpec,
    LimitSpec,
    MessagingSpec,
    Names,
    ScalingSpec,
    TenantSpec,
)
from tenantry.tenancy.workload import ReleaseFields
from tenantry.tenancy.workload_spec import AlertRule, Configuration, ModuleSpec, StorageSpec, WorkloadSpec

__all__ = ["fingerprint", "resolve", "wish"]

BACKUP_CONNECTIONS = 1
ROLL = "tenantry.dev/roll"
"""Annotation of a Tenant: another value runs its stack again, with what this version of Tenantry makes of it."""


def resolve(
    file: TenantFile | Tenant,
    *,
    catalogue: Catalogue,
    cell: Cell,
    incarnation: str,
    managed_by: str = "cli",
    today: date,
    taken_hosts: Mapping[str, str] | None = None,
    pinned_release: str | None = None,
    pinned_template_version: int | None = None,
    volumes: Mapping[str, Volume] | None = None,
    installed: Installed | None = None,
    closed: bool = False,
) -> TenantSpec:
    """Decide everything about a tenant.

    taken_hosts: host name → name of the tenant that has it. pinned_release, pinned_template_version: what the tenant
    got when it was made; used where the file names none, so that a newer catalogue changes nobody by itself.
    volumes: those that the tenant has by now; a smaller plan does not shrink them.
    installed: what a living tenant's stack was last made of; it counts even where the file names another release,
    which a release action brings.
    closed: whatever the tenant says, nothing of its workload stands (it has expired).
    Raises InvalidInput with every problem, at its line when `file` is a TenantFile; always for a draft.
    """
    if isinstance(file, TenantFile):
        tenant, findings = file.tenant, Findings(file.document, file.draft)
    else:
        tenant, findings = file, Findings(None)
    wanted = tenant.spec
    summary = f"{'the tenant' if findings.unknown('metadata') else f'tenant {tenant.metadata.name}'} cannot be accepted"

    plan = catalogue.plans.get(wanted.plan)
    if plan is None:
        findings.add(
            ("spec", "plan"),
            f"there is no plan {wanted.plan}",
            hint=did_you_mean(wanted.plan, list(catalogue.plans), what="plans"),
        )
    entry = choose_entry(tenant, catalogue, pinned_template_version, findings)
    release = None if entry is None else choose_release(tenant, entry, pinned_release, findings)
    if installed is not None:
        entry, release = choose_installed(tenant, catalogue, installed, findings) or (None, None)
    environment = catalogue.environments[wanted.environment]
    check_placement(wanted.placement, cell, findings)
    hosts = wanted.hosts or (f"{tenant.metadata.name}.{cell.spec.domain}",)
    check_hosts(tenant, cell, taken_hosts or {}, findings)
    check_integrations(tenant, cell, findings)
    if not findings.unknown("spec", "environment"):
        check_life(tenant, environment, today, findings)
    if plan is not None:
        check_limits(tenant, plan, findings)
    chosen = ("environment", "workload", "release", "templateVersion")
    known = not any(findings.unknown("spec", name) for name in chosen)
    if known and entry is not None:
        check_modules(tenant, entry.workload, findings)
        check_scaling(tenant, entry.workload, cell, findings)
    if not known or plan is None or entry is None or release is None:
        findings.raise_any(summary)
    assert plan is not None
    assert entry is not None
    assert release is not None

    derived = names(tenant.metadata.name, incarnation)
    volumes = volumes or {}
    sold = choose_database(tenant, plan, environment, cell, derived, findings)
    stands = volumes.get("database")
    database = sold if stands is None else replace(sold, storage_mib=max(sold.storage_mib, stands.size_mib))
    cache = choose_cache(plan, cell, derived, findings)
    messaging = choose_messaging(plan, cell)
    limits = _limits(tenant, plan)
    retention_days = plan.spec.limits.retention_days.default if wanted.retention is None else wanted.retention.days
    values = _values(tenant, derived, cell, hosts, release, database, cache, messaging, limits, retention_days)
    earlier = len(findings)
    modules = module_specs(
        tenant,
        entry.workload,
        plan,
        environment,
        tier=database.tier,
        plans=catalogue.plans,
        values=values,
        findings=findings,
    )
    storage = _storage(entry, plan, environment, modules, volumes)
    quota = quota_of(
        modules,
        storage,
        database=database,
        cache=cache,
        backup=wanted.backup.enabled,
    )
    # A module beyond its own bounds would only be blamed a second time; what one at fault would take is not known.
    if len(findings) == earlier and not findings.unknown("spec", "modules"):
        bought = quota_of(
            modules,
            _storage(entry, plan, environment, modules, {}),
            database=sold,
            cache=cache,
            backup=wanted.backup.enabled,
        )
        check_ceiling(tenant, plan, bought, modules, findings)
        needed = connections_needed(modules) + (BACKUP_CONNECTIONS if wanted.backup.enabled else 0)
        check_connections(tenant, plan, cell, database, needed, findings)
    findings.raise_any(summary)

    backup = plan.spec.backup
    return TenantSpec(
        name=tenant.metadata.name,
        incarnation=incarnation,
        display_name=wanted.display_name,
        owner=wanted.owner,
        plan=plan.name,
        environment=wanted.environment,
        managed_by=managed_by,
        activity=Activity.CLOSED if closed else Activity.SUSPENDED if wanted.suspended else Activity.RUNNING,
        hold=Hold.NONE if installed is None else installed.hold,
        region=cell.spec.region,
        residency=wanted.placement.residency,
        hosts=hosts,
        names=derived,
        workload=_workload(entry, release, cell, modules, storage, values),
        database=database,
        cache=cache,
        messaging=messaging,
        integrations=tuple(
            IntegrationSpec(name=one.name, kind=one.kind, host=one.host, port=one.port, credentials=one.credentials)
            for one in wanted.integrations
        ),
        quota=quota,
        limits=limits,
        backup=BackupSpec(
            enabled=wanted.backup.enabled,
            schedule=backup.schedule,
            keep_daily=backup.keep_daily,
            keep_weekly=backup.keep_weekly,
            keep_monthly=backup.keep_monthly,
            deadline_s=backup.deadline_minutes * 60,
        ),
        retention_days=retention_days,
        maintenance_window=wanted.maintenance_window,
        expires_on=None if wanted.expires_on is None else wanted.expires_on.isoformat(),
        deletion_policy=wanted.deletion_policy or environment.spec.deletion_policies[0],
        grace_days=environment.spec.grace_days_default if wanted.grace_days is None else wanted.grace_days,
        scaling=_scaling(tenant),
        cell=cell,
    )


def fingerprint(spec: TenantSpec) -> str:
    """SHA-256 of the spec's canonical form: equal specs, equal fingerprints, on every machine and in every process."""
    text = json.dumps(_canonical(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def wish(tenant: Tenant, spec: TenantSpec) -> str:
    """SHA-256 of what people decide about a tenant: its spec, the release and template version that it runs, whether it
    runs, and the annotation `tenantry.dev/roll`. What it wants to run next is not in it: a release brings that.

    Unlike `fingerprint` it leaves out what Tenantry adds (the plans' sizes, the catalogue's texts, the cell): a newer
    Tenantry, which knows these differently, runs no tenant again by itself.
    """
    parts = {
        # Without defaults: a field that a newer version adds is in nobody's wish.
        "spec": tenant.spec.model_dump(mode="json", exclude_defaults=True, exclude={"release", "template_version"}),
        "incarnation": spec.incarnation,
        "release": spec.workload.release,
        "template": spec.workload.template_version,
        "activity": spec.activity.value,
        "hosts": list(spec.hosts),
        "roll": tenant.metadata.annotations.get(ROLL, ""),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value):
        return {one.name: _canonical(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, frozenset):
        return sorted(_canonical(one) for one in value)
    if isinstance(value, tuple):
        return [_canonical(one) for one in value]
    return value


def _scaling(tenant: Tenant) -> ScalingSpec:
    wanted = tenant.spec.scaling
    return ScalingSpec(
        idle_to_zero=wanted.idle == "zero",
        calendar=tuple(
            Campaign(
                name=one.name,
                start=one.start,
                end=one.end,
                zone=one.time_zone,
                first_day=None if one.first_day is None else one.first_day.isoformat(),
                last_day=None if one.last_day is None else one.last_day.isoformat(),
                modules=tuple(
                    CampaignReplicas(module=name, least=said.least, most=said.most)
                    for name, said in sorted(one.modules.items())
                ),
            )
            for one in wanted.calendar
        ),
    )


def _limits(tenant: Tenant, plan: Plan) -> LimitSpec:
    asked, sold = tenant.spec.limits, plan.spec.limits
    return LimitSpec(
        contacts=asked.contacts or sold.contacts.default,
        messages_per_month=asked.messages_per_month or sold.messages_per_month.default,
        api_requests_per_minute=asked.api_requests_per_minute or sold.api_requests_per_minute.default,
    )


def _values(
    tenant: Tenant,
    derived: Names,
    cell: Cell,
    hosts: tuple[str, ...],
    release: ReleaseFields,
    database: DatabaseSpec,
    cache: CacheSpec,
    messaging: MessagingSpec,
    limits: LimitSpec,
    retention_days: int,
) -> dict[str, str]:
    """A value for each of placeholders.PLACEHOLDERS."""
    return {
        "cache.host": cache.host,
        "cache.login": cache.login,
        "cache.port": str(cache.port),
        "cache.prefix": derived.cache_prefix,
        "database.host": database.host,
        "database.mount": cell.spec.openbao.database_mount,
        "database.port": str(database.port),
        "database.role": derived.database_role_a,
        "database.schema": derived.schema,
        "database.version": database.engine_version,
        "kv.mount": cell.spec.openbao.kv_mount,
        "kv.path": derived.kv_path,
        "limits.apiRequestsPerMinute": str(limits.api_requests_per_minute),
        "limits.contacts": str(limits.contacts),
        "limits.messagesPerMonth": str(limits.messages_per_month),
        "messaging.host": messaging.host,
        "messaging.kind": messaging.kind.value,
        "messaging.port": str(messaging.port),
        "messaging.vhost": derived.messaging_vhost,
        "release": release.name,
        "retention.days": str(retention_days),
        "task.deadlineS": "",
        "task.name": "",
        "tenant.host": hosts[0],
        "tenant.name": tenant.metadata.name,
        "tenant.namespace": derived.namespace,
        "tenant.owner": tenant.spec.owner,
        "tenant.url": f"https://{hosts[0]}",
    }


def _storage(
    entry: WorkloadEntry,
    plan: Plan,
    environment: EnvironmentClass,
    modules: tuple[ModuleSpec, ...],
    volumes: Mapping[str, Volume],
) -> tuple[StorageSpec, ...]:
    """Volumes that an enabled module mounts; shared where more than one pod may ever have it, on whatever plan, since
    a volume stays what it is. One that stands in `volumes` neither shrinks nor stops being shared."""
    cap = environment.spec.max_replicas
    scaled = {
        one.name
        for one in entry.workload.spec.modules
        if min(max(size.bounds.replicas for size in one.sizes.values()), cap or 1000) > 1
    }
    specs = []
    for one in entry.workload.spec.storage:
        mounting = [module for module in modules if one.name in module.mounts]
        if mounting:
            stands = volumes.get(one.name, Volume(size_mib=0, shared=False))
            several = len(mounting) > 1 or any(module.name in scaled for module in mounting) or stands.shared
            specs.append(
                StorageSpec(
                    name=one.name,
                    mount_path=one.mount_path,
                    size_mib=max(one.sizes[plan.spec.size], stands.size_mib),
                    shared=one.shared and several,
                    backup=one.backup,
                )
            )
    return tuple(specs)


def _workload(
    entry: WorkloadEntry,
    release: ReleaseFields,
    cell: Cell,
    modules: tuple[ModuleSpec, ...],
    storage: tuple[StorageSpec, ...],
    values: Mapping[str, str],
) -> WorkloadSpec:
    described = entry.workload.spec
    image = f"{described.image}:{release.tag}" + (f"@{release.digest}" if release.digest else "")
    return WorkloadSpec(
        name=entry.workload.name,
        title=described.title,
        release=release.name,
        image=cell.spec.images.located(image),
        template_version=described.template_version,
        uid=described.uid,
        gid=described.gid,
        unprivileged_port_start=described.unprivileged_port_start,
        modules=modules,
        storage=storage,
        configuration=tuple(
            Configuration(path=one.path, template=fill(entry.templates[one.file], values))
            for one in described.configuration
        ),
        scripts=tuple((name, entry.scripts[name]) for name in described.scripts),
        scripts_path=described.scripts_path,
        generated_secrets=tuple(sorted(described.generated_secrets.items())),
        writable_paths=described.writable_paths,
        alerts=tuple(
            AlertRule(
                name=one.name,
                expression=fill(one.expression, values),
                for_s=one.for_s,
                severity=one.severity,
                summary=fill(one.summary, values),
            )
            for one in described.alerts
        ),
        contacts_query=described.usage.contacts,
    )
