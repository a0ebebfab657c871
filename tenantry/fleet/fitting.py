"""Whether what a tenant's file asks for can be had: the tenant that it begins from is there, and what it uses fits."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.fleet.registry import Registry
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput
from tenantry.tenancy.manifest import TenantFile
from tenantry.tenancy.room import asks_for_measuring, over, untold
from tenantry.tenancy.spec import TenantSpec

__all__ = ["check_fits", "check_origin"]


def check_fits(file: TenantFile, spec: TenantSpec, *, registry: Registry, cell: Cell) -> None:
    """A new tenant's origin is looked for, of one that is there the use is measured now. Raises InvalidInput with what
    is wrong, DependencyUnavailable where it should be measured and cannot."""
    record = registry.get(spec.name)
    if record is None:
        check_origin(file, lambda name: registry.get(name) is not None)
        return
    if record.finished_at is None or not asks_for_measuring(spec, record.room):
        return
    from tenantry.fleet.gauges import Gauges  # only here does the fleet ask the servers itself

    usage = Gauges(cell).usage(spec)
    problems = over(spec, record.room, usage)
    if problems:
        raise InvalidInput(
            f"tenant {spec.name} does not fit into what it asks for now",
            source=file.source,
            problems=problems,
            hint="nothing was changed: it goes on as it was",
        )
    if untold(spec, record.room, usage):
        raise DependencyUnavailable(
            f"it cannot be told how much tenant {spec.name} uses, and it asks for less than it has",
            where="spec.plan",
            hint="are the cell's MariaDB and RabbitMQ up? Nothing was changed; try again then",
        )


def check_origin(file: TenantFile, has: Callable[[str], bool]) -> None:
    """has: whether the cell has a tenant of that name. Raises InvalidInput for an origin that is not there."""
    origin = file.tenant.spec.origin
    if origin is None or has(origin.tenant):
        return
    problem = file.document.problem(
        ("spec", "origin", "tenant"),
        f"this cell has no tenant {origin.tenant}",
        hint="name one that is there (`tenantry tenant list`): its key opens the backup",
    )
    raise InvalidInput("the tenant cannot begin", source=file.source, problems=(problem,))
