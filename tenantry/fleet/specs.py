"""`Specs`: what each tenant of a cell is to be, decided from its file and from what is recorded of it.

Every name and size is decided here, and nothing is written.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tenantry.fleet.deletions import Deletions
from tenantry.fleet.operations import ORIGIN, Operations
from tenantry.fleet.registry import Record, Registry
from tenantry.fleet.sameness import check_same_tenant, moved
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.deletion import INCARNATION
from tenantry.tenancy.document import in_order
from tenantry.tenancy.errors import Conflict, InvalidInput, Problem, TenantryError, raise_together
from tenantry.tenancy.manifest import TenantFile, parse_tenant
from tenantry.tenancy.naming import incarnation_of
from tenantry.tenancy.resolving import resolve, wish
from tenantry.tenancy.spec import Activity, Installed, TenantSpec

__all__ = ["Specs"]


class Specs:
    """folder: the cell's, where journals of long operations are."""

    def __init__(
        self, *, cell: Cell, catalogue: Catalogue, registry: Registry, deletions: Deletions, folder: Path
    ) -> None:
        self._cell = cell
        self._catalogue = catalogue
        self._registry = registry
        self._deletions = deletions
        self._folder = folder
        self._in_force: dict[str, tuple[tuple[object, ...], TenantSpec]] = {}
        """By tenant, with what of its record it was decided from."""

    def resolve_all(self, files: Sequence[TenantFile], *, managed_by: str = "cli") -> tuple[TenantSpec, ...]:
        """Check the files together and decide every name and size. Nothing is written.

        A tenant that exists keeps its incarnation, release and template version. Raises every problem of every file:
        one InvalidInput or Conflict, or a group of them.
        """
        taken = dict(self._registry.taken_hosts())
        seen: dict[str, str] = {}
        specs: list[TenantSpec] = []
        failures: list[TenantryError] = []
        for file in files:
            name = file.tenant.metadata.name
            if name in seen:
                twice = InvalidInput(
                    f"tenant {name} is declared twice",
                    source=file.source,
                    problems=(Problem(path="metadata.name", message=f"also declared in {seen[name]}"),),
                    hint="keep one of the two files, or rename a tenant",
                )
                failures.append(twice)
            seen.setdefault(name, file.source)
            try:
                self._deletions.refuse(name)
            except Conflict as error:
                failures.append(error)
            hosts = file.tenant.spec.hosts
            try:
                spec = self._decide(file, taken=taken, managed_by=managed_by)
            except InvalidInput as error:
                failures.append(error)
            else:
                hosts = spec.hosts
                specs.append(spec)
            taken.update(dict.fromkeys(hosts, name))
        raise_together(failures, "several tenant files cannot be accepted")
        return tuple(specs)

    def resolve_again(self, file: TenantFile, spec: TenantSpec) -> TenantSpec:
        """The same file, by what the records say now."""
        return self._resolve(file, taken=dict(self._registry.taken_hosts()), managed_by=spec.managed_by)

    def admit(self, file: TenantFile, *, uid: str, managed_by: str, closed: bool = False) -> TenantSpec:
        """Decide everything about the tenant of a Tenant object; nothing is written.

        uid: the object's, which gives a new tenant its incarnation. A tenant that has a record without an object keeps
        its own. Raises Conflict while the name still belongs to an earlier object's tenant, InvalidInput for
        a tenant that cannot be accepted.
        """
        name = file.tenant.metadata.name
        record = self._registry.get(name)
        if record is not None and record.uid not in (None, uid) and not _brought_back(file, record):
            raise Conflict(
                f"the name {name} still belongs to an earlier tenant ({record.namespace}) that is not gone",
                where=name,
                hint="it is free when that tenant is deprovisioned; until then choose another name",
            )
        return self._resolve(
            file, taken=dict(self._registry.taken_hosts()), managed_by=managed_by, uid=uid, closed=closed
        )

    def in_force(self, record: Record) -> TenantSpec | None:
        """What the tenant's last finished run was asked for, decided in full. While a later one is under way, or has
        failed, what was last known to be in force; None where that is not known. Nothing is written."""
        known = self._in_force.get(record.name)
        stamp = (record.incarnation, record.wish, record.finished_at)
        if known is not None and known[0] == stamp:
            return known[1]
        spec = self._of_record(record) if record.wish else None
        if spec is None:
            return known[1] if known is not None and known[0][0] == record.incarnation else None
        self._in_force[record.name] = (stamp, spec)
        return spec

    def of(self, record: Record, installed: Installed | None = None) -> TenantSpec:
        """The tenant as its record has it, or with another release. A test environment past its last day is still what
        it was."""
        return resolve(
            parse_tenant(record.manifest, source=record.source),
            catalogue=self._catalogue,
            cell=self._cell,
            incarnation=record.incarnation,
            managed_by=record.managed_by,
            today=record.created_at.date(),
            pinned_release=record.release,
            pinned_template_version=record.template_version,
            installed=installed or record.installed,
            volumes=record.volumes,
            closed=record.activity == Activity.CLOSED,
        )

    def _resolve(
        self,
        file: TenantFile,
        *,
        taken: dict[str, str],
        managed_by: str,
        uid: str | None = None,
        closed: bool = False,
    ) -> TenantSpec:
        self._deletions.refuse(file.tenant.metadata.name)
        return self._decide(file, taken=taken, managed_by=managed_by, uid=uid, closed=closed)

    def _decide(
        self,
        file: TenantFile,
        *,
        taken: dict[str, str],
        managed_by: str,
        uid: str | None = None,
        closed: bool = False,
    ) -> TenantSpec:
        record = self._registry.get(file.tenant.metadata.name)
        # Nothing may run on a schema that another tenant's backup is still to be brought into.
        closed = closed or self._awaits_origin(file, record)
        others = {host: owner for host, owner in taken.items() if owner != file.tenant.metadata.name}
        if record is None:
            return resolve(
                file,
                catalogue=self._catalogue,
                cell=self._cell,
                incarnation=incarnation_of(uid or str(uuid.uuid4())),
                managed_by=managed_by,
                today=datetime.now(UTC).date(),
                taken_hosts=others,
                closed=closed,
            )
        try:
            spec = resolve(
                file,
                catalogue=self._catalogue,
                cell=self._cell,
                incarnation=record.incarnation,
                managed_by=record.managed_by,
                # A living tenant may be past its own date: then it has expired, which is no error of its file.
                today=record.created_at.date() if uid is not None else datetime.now(UTC).date(),
                taken_hosts=others,
                pinned_release=record.release,
                pinned_template_version=record.template_version,
                installed=record.installed,
                volumes=record.volumes,
                closed=closed,
            )
        except InvalidInput as error:
            raise InvalidInput(
                error.message,
                source=error.source,
                problems=in_order([*error.problems, *moved(file, record)]),
                hint=error.hint,
            ) from None
        check_same_tenant(file, spec, record)
        return spec

    def _awaits_origin(self, file: TenantFile, record: Record | None) -> bool:
        """Whether the tenant begins from a backup that has not been brought in yet."""
        if file.tenant.spec.origin is None:
            return False
        if record is None:
            return True
        journal = Operations(self._folder, record.namespace).get(ORIGIN)
        brought = journal is not None and bool(journal.get("ended_at")) and not journal.get("problem")
        # A tenant that has run may be given an origin afterwards: that means nothing any more.
        return not brought and record.activity == Activity.CLOSED

    def _of_record(self, record: Record) -> TenantSpec | None:
        """The spec of a record whose text is what its wish was made of, else None."""
        try:
            tenant = parse_tenant(record.manifest, source=record.source).tenant
            spec = self.of(record)
        except InvalidInput:  # a plan that has disappeared since
            return None
        return spec if wish(tenant, spec) == record.wish else None


def _brought_back(file: TenantFile, record: Record) -> bool:
    """Whether the object was made anew for the tenant that is there: it names its incarnation."""
    return file.tenant.metadata.annotations.get(INCARNATION) == record.incarnation
