"""Which catalogue entry, release and shared services a tenant gets."""

from __future__ import annotations

from tenantry.tenancy.catalogue import Catalogue, WorkloadEntry
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.document import did_you_mean
from tenantry.tenancy.findings import Findings
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.plans import EnvironmentClass, Plan
from tenantry.tenancy.spec import CacheSpec, DatabaseSpec, DatabaseTier, Installed, MessagingKind, MessagingSpec, Names
from tenantry.tenancy.workload import ReleaseFields

__all__ = ["choose_cache", "choose_database", "choose_entry", "choose_installed", "choose_messaging", "choose_release"]


def choose_entry(
    tenant: Tenant, catalogue: Catalogue, pinned_template_version: int | None, findings: Findings
) -> WorkloadEntry | None:
    """The workload in the version that the file names, else the pinned one, else the newest. None: a finding."""
    versions = catalogue.workloads.get(tenant.spec.workload)
    if versions is None:
        findings.add(
            ("spec", "workload"),
            f"there is no workload {tenant.spec.workload}",
            hint=did_you_mean(tenant.spec.workload, list(catalogue.workloads), what="workloads"),
        )
        return None
    version = tenant.spec.template_version or pinned_template_version or max(versions)
    if version not in versions:
        findings.add(
            ("spec", "templateVersion"),
            f"workload {tenant.spec.workload} has no template version {version}",
            hint=f"versions: {', '.join(str(one) for one in sorted(versions))}",
        )
        return None
    return versions[version]


def choose_release(
    tenant: Tenant, entry: WorkloadEntry, pinned_release: str | None, findings: Findings
) -> ReleaseFields | None:
    """The release that the file names, else the pinned one, else the catalogue's default. None: a finding."""
    releases = {one.name: one for one in entry.workload.spec.releases}
    wanted = tenant.spec.release or pinned_release or entry.workload.spec.default_release.name
    if wanted not in releases:
        findings.add(
            ("spec", "release"),
            f"workload {entry.workload.name} has no release {wanted} in template version "
            f"{entry.workload.spec.template_version}",
            hint=did_you_mean(wanted, list(releases), what="releases"),
        )
        return None
    return releases[wanted]


def choose_installed(
    tenant: Tenant, catalogue: Catalogue, installed: Installed, findings: Findings
) -> tuple[WorkloadEntry, ReleaseFields] | None:
    """What a living tenant runs, whatever its file wants next. None: a finding, the catalogue no longer has it."""
    entry = catalogue.workloads.get(tenant.spec.workload, {}).get(installed.template_version)
    if entry is None:
        findings.add(
            ("spec", "templateVersion"),
            f"the tenant runs template version {installed.template_version} of {tenant.spec.workload}, which this "
            "Tenantry's catalogue does not have",
            hint="install a Tenantry whose catalogue has it, and upgrade the tenant first",
        )
        return None
    for release in entry.workload.spec.releases:
        if release.name == installed.release:
            return entry, release
    findings.add(
        ("spec", "release"),
        f"the tenant runs release {installed.release} of {tenant.spec.workload}, which template version "
        f"{installed.template_version} does not have",
        hint="install a Tenantry whose catalogue has it, and upgrade the tenant first",
    )
    return None


def choose_database(
    tenant: Tenant, plan: Plan, environment: EnvironmentClass, cell: Cell, derived: Names, findings: Findings
) -> DatabaseSpec:
    """The tier within plan and environment; a refused one is a finding."""
    sold = plan.spec.database
    narrowed = environment.spec.database_tiers
    allowed = [one for one in sold.tiers if not narrowed or one in narrowed]
    tier = tenant.spec.database.tier or allowed[0]
    if tier not in allowed:
        within = f"plan {plan.name}" if tier not in sold.tiers else f"environment {environment.metadata.name}"
        findings.add(
            ("spec", "database", "tier"),
            f"{within} has no {tier.value} database",
            hint=f"choose {' or '.join(one.value for one in allowed)}",
        )
    aws = cell.spec.aws
    if tier in allowed and tier is DatabaseTier.RDS and aws is None:
        findings.add(
            ("spec", "database", "tier"),
            f"cell {cell.metadata.name} has no rds databases: it is not at AWS",
            hint="choose another tier, or a cell that docs/aws.md made",
        )
    own = tier is not DatabaseTier.SHARED
    host = cell.spec.database.host
    if tier is DatabaseTier.DEDICATED:
        host = f"database.{derived.namespace}.svc"
    elif tier is DatabaseTier.RDS and aws is not None:
        # Its own name, and no alias of it: clients check it against the server's certificate.
        host = f"{derived.rds_instance}.{aws.rds_domain}"
    return DatabaseSpec(
        tier=tier,
        host=host,
        port=3306 if own else cell.spec.database.port,
        storage_mib=sold.storage,
        connections=sold.connections // 2,
        engine_version=sold.engine_version,
        cpu_m=sold.cpu if own else 0,
        memory_mib=sold.memory if own else 0,
        instance_class=sold.instance_class if tier is DatabaseTier.RDS else None,
        rotation_days=sold.rotation_days,
    )


def choose_cache(plan: Plan, cell: Cell, derived: Names, findings: Findings) -> CacheSpec:
    """An account on the cell's Redis, or an own one, by plan. ElastiCache takes no accounts over Redis's own protocol,
    by which Tenantry makes them: a plan that shares a cache is a finding there."""
    own = plan.spec.cache.dedicated
    if not own and cell.spec.aws is not None:
        findings.add(
            ("spec", "plan"),
            f"plan {plan.name} shares the cell's cache, and cell {cell.metadata.name} has ElastiCache, in which no "
            "tenant can be given an account yet",
            hint="choose a plan with a cache of its own: docs/aws.md",
        )
    return CacheSpec(
        dedicated=own,
        host=f"cache.{derived.namespace}.svc" if own else cell.spec.cache.host,
        port=6379 if own else cell.spec.cache.port,
        memory_mib=plan.spec.cache.memory,
    )


def choose_messaging(plan: Plan, cell: Cell) -> MessagingSpec:
    """A virtual host on the cell's RabbitMQ, or queues in the own schema, by plan."""
    sold = plan.spec.messaging
    if sold.kind is MessagingKind.DATABASE:
        return MessagingSpec(kind=sold.kind, host="", port=0, max_queues=0, max_connections=0)
    return MessagingSpec(
        kind=sold.kind,
        host=cell.spec.messaging.host,
        port=cell.spec.messaging.port,
        max_queues=sold.max_queues,
        max_connections=sold.max_connections,
    )
