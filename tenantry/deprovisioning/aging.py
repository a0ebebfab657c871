"""What a deleted tenant left behind on purpose goes when its days are over: backups that no key opens.

Run every day by the operator, or by `tenantry cell age-out`. It may be repeated.
"""

from __future__ import annotations

from datetime import datetime

from tenantry.backup.store import cell_store
from tenantry.fleet import Fleet
from tenantry.tenancy.deletion import Tombstone
from tenantry.tenancy.naming import names

__all__ = ["age_out"]


def age_out(fleet: Fleet, now: datetime) -> tuple[Tombstone, ...]:
    """Remove the kept backups of tenants whose certificate promised them until before today; those tenants'
    tombstones. Raises DependencyUnavailable."""
    done = []
    for tombstone in fleet.deletions.tombstones():
        last_days = [one.until for one in tombstone.retained if one.in_store]
        if tombstone.copies_removed_at is not None or not last_days or now.date() <= max(last_days):
            continue
        prefix = names(tombstone.name, tombstone.incarnation).backup_prefix
        store = cell_store(fleet.cell.spec, prefix)
        store.sweep()
        store.delete([one.name for one in store.objects()])
        removed = tombstone.model_copy(update={"copies_removed_at": now})
        fleet.deletions.bury(removed)
        done.append(removed)
    return tuple(done)
