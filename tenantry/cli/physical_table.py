"""How commands show the physical backups of a cell's database server."""

from __future__ import annotations

from datetime import UTC, datetime

from tenantry.cli.reporting import out
from tenantry.tenancy.physical_standing import PhysicalStanding

__all__ = ["physical_document", "print_physical"]

_TIME = "%Y-%m-%d %H:%M UTC"


def print_physical(standing: PhysicalStanding | None) -> None:
    """Nothing for a cell that keeps none, or keeps them on another machine."""
    if standing is None:
        return
    told = "none yet"
    if standing.taken:
        told = f"{len(standing.taken)}, the last of {standing.taken[-1]:{_TIME}}; tenants can be brought to any moment "
        told += f"from {standing.taken[0]:{_TIME}} on"
    if standing.overdue(datetime.now(UTC)):
        told += f"; [red]the next was due on {standing.due_at:{_TIME}}[/]: the operator's log says why it did not come"
    out.print(f"\nphysical backups of the database server: {told}", soft_wrap=True)


def physical_document(standing: PhysicalStanding | None) -> dict[str, object] | None:
    if standing is None:
        return None
    return {
        "takenAt": [one.isoformat() for one in standing.taken],
        "dueAt": standing.due_at.isoformat() if standing.due_at else None,
        "overdue": standing.overdue(datetime.now(UTC)),
    }
