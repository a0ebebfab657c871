"""Backups of one tenant as the platform takes and watches them, and the proof that the last one comes back.

Where nodes are real, the tenant's own scheduled Job takes them, and the store is only looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tenantry.backup.catalogue import Catalogue, catalogue
from tenantry.backup.manifest import Manifest
from tenantry.backup.restoring import check
from tenantry.fleet.operations import Operations
from tenantry.recovery.identity import SNAPSHOTS, as_tenant, holds_data
from tenantry.recovery.keeper import keeper_of
from tenantry.recovery.schema import SchemaRestore
from tenantry.recovery.taken import newest, take_now
from tenantry.tenancy.errors import Conflict, RunFailed, StateCorrupt, Unsupported
from tenantry.tenancy.recovery import Backups, Kept, Proof
from tenantry.tenancy.spec import TenantSpec

__all__ = ["KIND", "BackingUp", "Listed", "backups_of"]

KIND = "backup"
_JOB = "backup-asked-for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the store holds of a tenant. before_restore: snapshots, which were taken before something risky."""

    backups: Catalogue
    before_restore: Catalogue


def backups_of(operations: Operations) -> Backups:
    """The journal; an empty one before the first backup. Raises StateCorrupt."""
    return operations.load(KIND, Backups) or Backups()


class BackingUp:
    """One tenant's backups. operations: of this life of the tenant. stopping: asked all the time while rows go out or
    in; when it says so, Stopped is raised, and the next call begins anew."""

    def __init__(
        self, spec: TenantSpec, operations: Operations, *, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._spec = spec
        self._operations = operations
        self._stopping = stopping

    def journal(self) -> Backups:
        return backups_of(self._operations)

    def listed(self) -> Listed:
        """Everything in the store, whole and damaged."""
        # As the tenant: the credentials of a bucket may be its own.
        with as_tenant(self._spec) as around, as_tenant(self._spec, folder=SNAPSHOTS) as aside:
            return Listed(backups=catalogue(around.store), before_restore=catalogue(aside.store))

    def take(self, *, asked: str = "") -> Kept:
        """Take a backup, retention included, and note it. asked: the wish that it serves.

        Raises Locked while another backup or a restore is under way, DependencyUnavailable while it cannot be taken
        (Begun while its own Job runs), Unsupported for a tenant without a database to back up.
        """
        self._check_enabled()
        kept = _kept(take_now(self._spec, job=_JOB, stopping=self._stopping))
        self._note(last=kept, seen_at=_now(), **({"asked": asked, "answer": kept.id} if asked else {}))
        return kept

    def look(self) -> Kept | None:
        """Note the newest backup in the store, which the tenant's own schedule took."""
        with as_tenant(self._spec) as around:
            manifest = newest(around.store)
        kept = _kept(manifest) if manifest is not None else None
        self._note(last=kept, seen_at=_now())
        return kept

    def prove(self, identifier: str | None = None) -> Proof:
        """Bring a backup back into a scratch schema, compare it with its manifest, drop the schema, and note it.

        identifier: None for the newest. A backup that does not come back is no error here but what the proof says;
        what keeps the proof from being made is raised.
        """
        self._check_enabled()
        with as_tenant(self._spec) as around:
            manifest = catalogue(around.store).find(identifier)
            schema = SchemaRestore(around, keeper_of(self._spec, around), proof=True, stopping=self._stopping)
            with schema.locked():
                try:
                    check(around, manifest)
                    content = schema.load(manifest)
                    proof = Proof(id=manifest.id, at=_now(), rows=sum(table.rows for table in content.tables))
                except (RunFailed, StateCorrupt, Conflict) as error:
                    proof = Proof(id=manifest.id, at=_now(), problem=error.message)
                finally:
                    schema.clean()
        if identifier is None or self.journal().last == _kept(manifest):
            self._note(proof=proof, **({} if proof.problem else {"proven": proof}))
        return proof

    def _check_enabled(self) -> None:
        if not self._spec.backup.enabled:
            raise Unsupported(
                f"tenant {self._spec.name} has no backups: its file switches them off",
                where="spec.backup.enabled",
                hint="take that line out and apply the file again",
            )
        if not holds_data(self._spec):
            raise Unsupported(
                f"tenant {self._spec.name} has a database server of its own, which is simulated here and holds no data",
                where="spec.database.tier",
                hint="there is nothing to back up on simulated nodes; on real ones its own Job does it",
            )

    def _note(self, **changes: Any) -> None:
        journal = self.journal().model_copy(update=changes)
        self._operations.put(KIND, journal.model_dump(mode="json"))


def _kept(manifest: Manifest) -> Kept:
    return Kept(id=manifest.id, taken_at=manifest.started_at, size=manifest.size, release=manifest.release)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
