"""Whether a new tenant can begin from the one that its file names. Pure."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.manifest import TenantFile

__all__ = ["check_origin"]


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
