"""Where data lies: in a place that the tenant agreed to."""

from __future__ import annotations

import re

from tenantry_policies.rule import Findings, Rule, stack_rule
from tenantry_policies.view import Stack, items, mapping

__all__ = ["KEPT_IN", "REGION", "RESIDENCY", "RULES"]

RESIDENCY = "tenantry.dev/residency"
"""Annotation of a tenant's namespace: where its data must stay, `any` for no demand."""
KEPT_IN = "tenantry.dev/kept-in"
"""Annotation of a tenant's namespace: where the cell keeps data, separated by commas."""
REGION = "tenantry.dev/region"
"""Annotation of a tenant's namespace: the cell's region."""

_ANY = "any"
_AWS_HOST = re.compile(r"https://(?:[^/]*\.)?s3[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com")
_STORE = "TENANTRY_BACKUP_STORE_URL"


@stack_rule()
def data_outside_residency(stack: Stack) -> Findings:
    """A tenant's data stays where the tenant file's `placement.residency` says, backups included.

    Where data may lie is a promise to the customer, and often the law. Zürich and London are in regions whose names
    begin with `eu`, and are not in the European Union: the cell says what it is, not a name.
    """
    tenant = stack.tenant
    if tenant is None:
        return
    wanted = str(tenant.annotations.get(RESIDENCY) or _ANY)
    if wanted == _ANY:
        return
    kept = [one for one in str(tenant.annotations.get(KEPT_IN) or "").split(",") if one]
    if wanted not in kept and _ANY not in kept:
        yield (
            tenant,
            (
                f"data must stay in {wanted}, and the cell keeps it in {', '.join(kept) or 'no place that it names'}; "
                f"choose a cell with that residency"
            ),
        )
    region = str(tenant.annotations.get(REGION) or "")
    for job in stack.of("CronJob"):
        for container in job.containers:
            for variable in (mapping(one) for one in items(container.get("env"))):
                if variable.get("name") != _STORE:
                    continue
                store = _AWS_HOST.match(str(variable.get("value")))
                if store is not None and region and store.group(1) != region:
                    yield (
                        job,
                        (
                            f"backups go to {store.group(1)}, and the cell with its residency is in {region}; name a "
                            f"bucket of that region in backups.url of the cell file"
                        ),
                    )


RULES: tuple[Rule, ...] = (data_outside_residency,)
