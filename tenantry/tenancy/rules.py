"""The rules that a tenant must meet beyond its own grammar: each a function that adds what it finds wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date

from tenantry.tenancy.cell import Cell
from tenantry.tenancy.document import did_you_mean
from tenantry.tenancy.findings import Findings
from tenantry.tenancy.hosts import integration_refusal, public_host_refusal
from tenantry.tenancy.model import ModuleOverride, Placement, Tenant
from tenantry.tenancy.plans import EnvironmentClass, Plan
from tenantry.tenancy.quantity import cpu_text, mebibytes_text
from tenantry.tenancy.quota import footprints, peak_pods
from tenantry.tenancy.spec import DatabaseSpec, DatabaseTier, QuotaSpec
from tenantry.tenancy.workload import Workload
from tenantry.tenancy.workload_spec import ModuleKind, ModuleSpec

__all__ = [
    "check_ceiling",
    "check_connections",
    "check_hosts",
    "check_integrations",
    "check_life",
    "check_limits",
    "check_modules",
    "check_placement",
    "check_scaling",
]

_CREDENTIALS = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}(/[a-z0-9][a-z0-9_-]{0,60}){0,4}")
RESERVED_CREDENTIALS = ("app", "cache", "messaging", "own-cache")


def check_placement(placement: Placement, cell: Cell, findings: Findings) -> None:
    """The tenant's placement against the cell. A cell that declares residency `any` takes every tenant."""
    if placement.cell is not None and placement.cell != cell.metadata.name:
        findings.add(
            ("spec", "placement", "cell"),
            f"this is cell {cell.metadata.name}, the tenant belongs to cell {placement.cell}",
            hint="name the other cell's file with --cell",
        )
    if placement.region is not None and placement.region != cell.spec.region:
        findings.add(
            ("spec", "placement", "region"),
            f"cell {cell.metadata.name} is in region {cell.spec.region}, not {placement.region}",
            hint="choose a cell of that region",
        )
    offered = cell.spec.residency
    if placement.residency != "any" and "any" not in offered and placement.residency not in offered:
        findings.add(
            ("spec", "placement", "residency"),
            f"cell {cell.metadata.name} does not keep data in {placement.residency}",
            hint=f"it offers: {', '.join(offered)}",
        )


def check_hosts(tenant: Tenant, cell: Cell, taken: Mapping[str, str], findings: Findings) -> None:
    """No host twice, none of another tenant, none inside the cluster, below the cell's domain only its own."""
    name = tenant.metadata.name
    own = f"{name}.{cell.spec.domain}"
    if not tenant.spec.hosts and not findings.unknown("spec", "hosts") and taken.get(own, name) != name:
        findings.add(
            ("metadata", "name"), f"host {own} belongs to tenant {taken[own]}", hint="declare hosts of your own"
        )
    for index, host in enumerate(tenant.spec.hosts):
        at = ("spec", "hosts", index)
        if host in tenant.spec.hosts[:index]:
            findings.add(at, f"host {host} stands here twice", hint="keep one")
        elif taken.get(host, name) != name:
            findings.add(at, f"host {host} belongs to tenant {taken[host]}", hint="choose another host")
        refusal = public_host_refusal(host, tenant=name, cell_domain=cell.spec.domain)
        if refusal is not None:
            findings.add(at, f"host {host} {refusal}", hint=f"use {own} or a domain of your own")


def check_integrations(tenant: Tenant, cell: Cell, findings: Findings) -> None:
    """Names unique, hosts public, credentials inside the tenant's own folder."""
    seen: set[str] = set()
    for index, one in enumerate(tenant.spec.integrations):
        at = ("spec", "integrations", index)
        if one.name in seen:
            findings.add((*at, "name"), f"integration {one.name} stands here twice", hint="rename one")
        seen.add(one.name)
        refusal = integration_refusal(one.host, cell_domain=cell.spec.domain)
        if refusal is not None:
            findings.add(
                (*at, "host"), f"integration host {one.host} {refusal}", hint="name the public host of the system"
            )
        if one.credentials is None:
            continue
        if not _CREDENTIALS.fullmatch(one.credentials):
            findings.add(
                (*at, "credentials"),
                f"{one.credentials!r} is not a path below the tenant's own folder",
                hint="such as integrations/crm: a-z, 0-9, - and _, parted by single slashes, without ..",
            )
        elif one.credentials.split("/")[0] in RESERVED_CREDENTIALS:
            findings.add(
                (*at, "credentials"),
                f"{one.credentials} is where Tenantry keeps its own secrets",
                hint=f"write integrations/{one.name}",
            )


def check_life(tenant: Tenant, environment: EnvironmentClass, today: date, findings: Findings) -> None:
    """Expiry, deletion policy, grace and backup against the environment."""
    wanted, allowed, name = tenant.spec, environment.spec, environment.metadata.name
    if wanted.expires_on is not None:
        if not allowed.expiry:
            findings.add(
                ("spec", "expiresOn"), f"environment {name} does not expire", hint="remove expiresOn, or use test"
            )
        elif wanted.expires_on <= today:
            findings.add(
                ("spec", "expiresOn"),
                f"expiresOn {wanted.expires_on.isoformat()} has passed; today is {today.isoformat()}",
                hint="name a later day",
            )
    if wanted.deletion_policy is not None and wanted.deletion_policy not in allowed.deletion_policies:
        findings.add(
            ("spec", "deletionPolicy"),
            f"environment {name} does not allow {wanted.deletion_policy.value}",
            hint=f"choose {' or '.join(one.value for one in allowed.deletion_policies)}",
        )
    if wanted.grace_days is not None and wanted.grace_days < allowed.grace_days_minimum:
        findings.add(
            ("spec", "graceDays"),
            f"environment {name} needs at least {allowed.grace_days_minimum} days of grace",
            hint=f"write {allowed.grace_days_minimum} or more",
        )
    if not wanted.backup.enabled and not allowed.backup_optional:
        findings.add(("spec", "backup", "enabled"), f"environment {name} is always backed up", hint="leave backup out")


def check_limits(tenant: Tenant, plan: Plan, findings: Findings) -> None:
    """Commercial limits within the plan."""
    asked, sold = tenant.spec.limits, plan.spec.limits
    for name, wanted, limit in (
        ("contacts", asked.contacts, sold.contacts),
        ("messagesPerMonth", asked.messages_per_month, sold.messages_per_month),
        ("apiRequestsPerMinute", asked.api_requests_per_minute, sold.api_requests_per_minute),
    ):
        if wanted is not None and wanted > limit.most:
            findings.add(
                ("spec", "limits", name),
                f"plan {plan.name} sells at most {limit.most} {name}, {wanted - limit.most} fewer than asked",
                hint=f"write at most {limit.most}, or take a larger plan",
            )
    retention = tenant.spec.retention
    if retention is not None and retention.days > sold.retention_days.most:
        findings.add(
            ("spec", "retention", "days"),
            f"plan {plan.name} keeps data at most {sold.retention_days.most} days",
            hint="shorten it, or take a larger plan",
        )
    for name, count, most in (
        ("integrations", len(tenant.spec.integrations), sold.integrations),
        ("hosts", len(tenant.spec.hosts), sold.hosts),
    ):
        if count > most:
            findings.add(
                ("spec", name), f"plan {plan.name} has at most {most} {name}, these are {count}", hint="remove some"
            )


def check_ceiling(
    tenant: Tenant, plan: Plan, quota: QuotaSpec, modules: Sequence[ModuleSpec], findings: Findings
) -> None:
    """The computed quota within the plan's ceiling; blames the override that takes most of what is over."""
    ceiling = plan.spec.ceiling
    for what, needed, most, text in (
        ("CPU", quota.cpu_request_m, ceiling.cpu, cpu_text),
        ("memory", quota.memory_limit_mib, ceiling.memory, mebibytes_text),
        ("storage", quota.storage_mib, ceiling.storage, mebibytes_text),
        ("pods", quota.pods, ceiling.pods, str),
    ):
        if needed > most:
            findings.add(
                _blamed(tenant, modules, what),
                f"with this, the tenant needs {text(needed)} {what} at its peak, {text(needed - most)} more than "
                f"plan {plan.name} has ({text(most)})",
                hint="lower the override, or take a larger plan",
            )


def _blamed(tenant: Tenant, modules: Sequence[ModuleSpec], what: str) -> tuple[str | int, ...]:
    def share(module: ModuleSpec) -> int:
        total = footprints(module)
        return {"CPU": total.cpu_request_m, "memory": total.memory_limit_mib}.get(what, peak_pods(module))

    overridden = [one for one in modules if one.name in tenant.spec.modules]
    if not overridden or what == "storage":
        return ("spec", "plan")
    worst = max(overridden, key=share)
    override: ModuleOverride = tenant.spec.modules[worst.name]
    given = {"replicas": override.replicas, "cpu": override.cpu, "memory": override.memory}
    preferred = {"CPU": ("cpu", "replicas"), "memory": ("memory", "replicas")}.get(what, ("replicas",))
    field = next((name for name in preferred if given[name] is not None), None)
    return ("spec", "modules", worst.name, *((field,) if field else ()))


def check_modules(tenant: Tenant, workload: Workload, findings: Findings) -> None:
    """Every override is of a module that the workload has."""
    known = [one.name for one in workload.spec.modules]
    for name in tenant.spec.modules:
        if name not in known:
            findings.add(
                ("spec", "modules", name),
                f"workload {workload.name} has no module {name}",
                hint=did_you_mean(name, known, what="modules"),
                at_key=True,
            )


def check_scaling(tenant: Tenant, workload: Workload, cell: Cell, findings: Findings) -> None:
    """Campaigns have names of their own and speak of modules that have replicas; somebody must follow them."""
    for name, given in (("calendar", tenant.spec.scaling.calendar), ("idle", tenant.spec.scaling.idle == "zero")):
        if given and not cell.spec.operator:
            findings.add(
                ("spec", "scaling", name),
                f"cell {cell.metadata.name} has no operator that would follow {name}",
                hint="leave it out, or choose a cell whose file says operator: true",
            )
    for name, override in tenant.spec.modules.items():
        if override.scale == 0 and not cell.spec.operator:
            findings.add(
                ("spec", "modules", name, "scale"),
                f"cell {cell.metadata.name} has no operator that would scale a module to nothing",
                hint="write enabled: false where the module is optional, or scale: 1",
            )
    scaling = [one.name for one in workload.spec.modules if one.kind in (ModuleKind.SERVICE, ModuleKind.WORKER)]
    seen: set[str] = set()
    for index, campaign in enumerate(tenant.spec.scaling.calendar):
        at = ("spec", "scaling", "calendar", index)
        if campaign.name in seen:
            findings.add((*at, "name"), f"campaign {campaign.name} stands here twice", hint="rename one")
        seen.add(campaign.name)
        for name in campaign.modules:
            if name not in scaling:
                findings.add(
                    (*at, "modules", name),
                    f"workload {workload.name} has no module {name} with replicas",
                    hint=did_you_mean(name, scaling, what="modules"),
                    at_key=True,
                )


def check_connections(
    tenant: Tenant, plan: Plan, cell: Cell, database: DatabaseSpec, needed: int, findings: Findings
) -> None:
    """Database connections at the peak of all modules within the cap of the one account in use."""
    if needed > database.connections:
        findings.add(
            ("spec", "modules") if tenant.spec.modules else ("spec", "plan"),
            f"at their peak the modules need {needed} database connections, {needed - database.connections} more than "
            f"plan {plan.name} has for an account ({database.connections})",
            hint="lower replicas.max, or take a larger plan",
        )
    if database.tier is DatabaseTier.SHARED and 2 * database.connections > cell.spec.database.max_connections:
        findings.add(
            ("spec", "plan"),
            f"plan {plan.name} sells {2 * database.connections} database connections, the cell's server has "
            f"{cell.spec.database.max_connections}",
            hint="choose a larger cell",
        )
