"""What can never change in a living tenant: its data would have to move, or be somebody else's.

The API server refuses such edits by the rules of the CRD; a file that goes round it is refused here.
"""

from __future__ import annotations

from tenantry.fleet.registry import Record
from tenantry.tenancy.drafting import Draft
from tenantry.tenancy.errors import Problem
from tenantry.tenancy.findings import Findings
from tenantry.tenancy.manifest import TenantFile, parse_tenant
from tenantry.tenancy.spec import TenantSpec

__all__ = ["check_same_tenant", "moved"]

_MOVE = "back up and restore into a new tenant"


def check_same_tenant(file: TenantFile, spec: TenantSpec, record: Record) -> None:
    """Raises InvalidInput with every field that would make another tenant of it."""
    if file.text == record.manifest:
        return
    findings = Findings(file.document)
    _find_moved(file, record, findings)
    tier = spec.database.tier.value
    if record.database_tier is not None and tier != record.database_tier:
        findings.add(
            ("spec", "database", "tier"),
            f"the data lies on tier {record.database_tier}; this would begin anew on tier {tier}",
            hint=f"write database: {{tier: {record.database_tier}}}, or {_MOVE}",
        )
    findings.raise_any(f"tenant {spec.name} cannot be changed like this")


def moved(file: TenantFile, record: Record) -> tuple[Problem, ...]:
    """The same as far as the file alone tells, beside what else is wrong with it."""
    findings = Findings(file.document, Draft(faults=file.draft.faults))
    _find_moved(file, record, findings)
    return findings.problems


def _find_moved(file: TenantFile, record: Record, findings: Findings) -> None:
    before, after = parse_tenant(record.manifest, source=record.source).tenant.spec, file.tenant.spec
    for path, old, new, hint in (
        (("spec", "workload"), before.workload, after.workload, "make a new tenant"),
        (
            ("spec", "environment"),
            before.environment,
            after.environment,
            "make a new tenant: it decides what may be deleted",
        ),
        (("spec", "placement", "residency"), before.placement.residency, after.placement.residency, _MOVE),
    ):
        if old != new:
            findings.add(path, f"cannot change from {old} to {new}", hint=hint)
    if after.origin is not None and before.origin is None:
        findings.add(
            ("spec", "origin"),
            "a tenant that is there cannot begin from a backup",
            hint=f"bring one back into it with `tenantry tenant restore {record.name}`, or make a new tenant",
        )
