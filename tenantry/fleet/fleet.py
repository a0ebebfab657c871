"""`Fleet`: apply, preview and destroy the tenants of one cell.

Every input is checked before the first tenant is touched; then each tenant goes its own way, several at once,
and one that fails holds up no other.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenantry.engine import EmbeddedEngine
from tenantry.engine.interface import Engine, Event, OnEvent, Op, Preview, Program, RunResult, Stack
from tenantry.fleet.deletions import Deletions
from tenantry.fleet.drifted import findings_of
from tenantry.fleet.home import cell_home
from tenantry.fleet.manifests import to_files
from tenantry.fleet.operations import Operations
from tenantry.fleet.programs import cell_program, cell_stack, tenant_program, tenant_stack
from tenantry.fleet.provisioner import DEPROVISIONER, ProvisionerToken
from tenantry.fleet.registry import Record, Registry
from tenantry.fleet.releases import Releases
from tenantry.fleet.sameness import check_same_tenant
from tenantry.fleet.shown import Node, Shown, conditions_of, modules_of, tree_of
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.deletion import INCARNATION
from tenantry.tenancy.drift import Finding
from tenantry.tenancy.errors import (
    Conflict,
    DependencyUnavailable,
    InvalidInput,
    Locked,
    PolicyViolated,
    Problem,
    TenantryError,
    Unsupported,
    raise_together,
)
from tenantry.tenancy.judgement import Judgement
from tenantry.tenancy.manifest import TenantFile, parse_tenant
from tenantry.tenancy.naming import incarnation_of
from tenantry.tenancy.resolving import resolve, wish
from tenantry.tenancy.room import asks_for_measuring, over, room_of, roomier, stages, untold, volumes_of
from tenantry.tenancy.spec import Activity, DatabaseTier, Environment, Installed, TenantSpec

__all__ = ["ORIGIN", "Applied", "Fleet", "check_test_environment"]

ORIGIN = "origin"
"""Kind of the journal of a tenant that begins from another's backup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """How one tenant's run ended: a result, or the error that stopped it."""

    spec: TenantSpec
    result: RunResult | None
    error: TenantryError | None


class Fleet:
    """The tenants of `cell`, run by `engine`, recorded under `root` (the machine's data folder)."""

    def __init__(self, *, cell: Cell, engine: Engine, catalogue: Catalogue, root: Path | None = None) -> None:
        self.cell = cell
        self.engine = engine
        # Only the embedded engine can tell what a program asks for without a run.
        self._evaluator = engine if isinstance(engine, EmbeddedEngine) else EmbeddedEngine()
        self.catalogue = catalogue
        folder = cell_home(cell.metadata.name, root=root)
        self.folder = folder
        self.registry = Registry(folder / "tenants")
        self.deletions = Deletions(folder)
        self.releases = Releases(folder)
        self.backend = folder / "state"
        self._in_force: dict[str, tuple[tuple[object, ...], TenantSpec]] = {}
        """By tenant, with what of its record it was decided from."""
        self.provisioner = ProvisionerToken(cell, root=root)
        self.deprovisioner = ProvisionerToken(cell, root=root, role=DEPROVISIONER)

    # -- the cell itself ----------------------------------------------------------------------------------

    def prepare_cell(self, *, on_event: OnEvent | None = None) -> RunResult:
        """Set up or bring up to date the cell's shared services, under an administrator's token; leaves the
        provisioner's for all that follows."""
        result = self.engine.up(cell_stack(self.cell, self.backend), cell_program(self.cell), on_event=on_event)
        self.provisioner.keep()
        self.deprovisioner.keep()
        return result

    # -- from tenant files to specs -----------------------------------------------------------------------

    def resolve_all(self, files: Sequence[TenantFile], *, managed_by: str = "cli") -> tuple[TenantSpec, ...]:
        """Check the files together and decide every name and size. Nothing is written.

        A tenant that exists keeps its incarnation, release and template version. Raises one InvalidInput with
        every problem of every file.
        """
        taken = dict(self.registry.taken_hosts())
        seen: dict[str, str] = {}
        specs: list[TenantSpec] = []
        failures: list[InvalidInput] = []
        for file in files:
            name = file.tenant.metadata.name
            try:
                if name in seen:
                    raise InvalidInput(
                        f"tenant {name} is declared twice",
                        source=file.source,
                        problems=(Problem(path="metadata.name", message=f"also declared in {seen[name]}"),),
                        hint="keep one of the two files, or rename a tenant",
                    )
                seen[name] = file.source
                spec = self._resolve(file, taken=taken, managed_by=managed_by)
            except InvalidInput as error:
                failures.append(error)
                continue
            taken.update(dict.fromkeys(spec.hosts, name))
            specs.append(spec)
        raise_together(failures, "several tenant files cannot be accepted")
        return tuple(specs)

    def _resolve(
        self,
        file: TenantFile,
        *,
        taken: dict[str, str],
        managed_by: str,
        uid: str | None = None,
        closed: bool = False,
    ) -> TenantSpec:
        self._refuse_deleted(file.tenant.metadata.name)
        record = self.registry.get(file.tenant.metadata.name)
        # Nothing may run on a schema that another tenant's backup is still to be brought into.
        closed = closed or self._awaits_origin(file, record)
        others = {host: owner for host, owner in taken.items() if owner != file.tenant.metadata.name}
        if record is None:
            return resolve(
                file,
                catalogue=self.catalogue,
                cell=self.cell,
                incarnation=incarnation_of(uid or str(uuid.uuid4())),
                managed_by=managed_by,
                today=datetime.now(UTC).date(),
                taken_hosts=others,
                closed=closed,
            )
        spec = resolve(
            file,
            catalogue=self.catalogue,
            cell=self.cell,
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
        check_same_tenant(file, spec, record)
        return spec

    def _awaits_origin(self, file: TenantFile, record: Record | None) -> bool:
        """Whether the tenant begins from a backup that has not been brought in yet."""
        if file.tenant.spec.origin is None:
            return False
        if record is None:
            return True
        journal = self.operations(record.namespace).get(ORIGIN)
        brought = journal is not None and bool(journal.get("ended_at")) and not journal.get("problem")
        # A tenant that has run may be given an origin afterwards: that means nothing any more.
        return not brought and record.activity == Activity.CLOSED

    def admit(self, file: TenantFile, *, uid: str, managed_by: str, closed: bool = False) -> TenantSpec:
        """Decide everything about the tenant of a Tenant object; nothing is written.

        uid: the object's, which gives a new tenant its incarnation. A tenant that has a record without an object keeps
        its own. Raises Conflict while the name still belongs to an earlier object's tenant, InvalidInput for
        a tenant that cannot be accepted.
        """
        name = file.tenant.metadata.name
        record = self.registry.get(name)
        if record is not None and record.uid not in (None, uid) and not _brought_back(file, record):
            raise Conflict(
                f"the name {name} still belongs to an earlier tenant ({record.namespace}) that is not gone",
                where=name,
                hint="it is free when that tenant is deprovisioned; until then choose another name",
            )
        return self._resolve(
            file, taken=dict(self.registry.taken_hosts()), managed_by=managed_by, uid=uid, closed=closed
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

    def _of_record(self, record: Record) -> TenantSpec | None:
        """The spec of a record whose text is what its wish was made of, else None."""
        try:
            tenant = parse_tenant(record.manifest, source=record.source).tenant
            spec = self.spec_of(record)
        except InvalidInput:  # a plan that has disappeared since
            return None
        return spec if wish(tenant, spec) == record.wish else None

    def apply(
        self, file: TenantFile, spec: TenantSpec, *, uid: str, wish: str, on_event: OnEvent | None = None
    ) -> RunResult:
        """Run the stack of one admitted tenant, which fits (`check_fits`). Its record is claimed first; a killed run is
        finished by the next.

        wish: noted in the record when the run has reached its goal. Raises what stops the run.
        """
        with self.registry.exclusive():
            self._refuse_deleted(spec.name)
            self._check_engine(spec)
            new = self.registry.get(spec.name) is None
            self._check_installed(spec)
            self.registry.claim(self._record(file, spec).model_copy(update={"uid": uid}))
        try:
            with self.releases.exclusive(spec.name):
                result = self._run(spec, on_event=on_event)
        except PolicyViolated:
            if new:  # nothing was made, so that nothing has to be kept of it
                self.registry.forget(spec.name)
            raise
        self.registry.finished(
            spec.name, activity=spec.activity.value, resources=result.resources, room=room_of(spec), wish=wish
        )
        return result

    def check_fits(self, file: TenantFile, spec: TenantSpec) -> None:
        """Refuse a change that takes away what the tenant uses, as measured now. Raises InvalidInput with what is over,
        DependencyUnavailable where it should be measured and cannot."""
        record = self.registry.get(spec.name)
        if record is None or record.finished_at is None or not asks_for_measuring(spec, record.room):
            return
        from tenantry.fleet.gauges import Gauges  # only here does the fleet ask the servers itself

        usage = Gauges(self.cell).usage(spec)
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

    def _run(self, spec: TenantSpec, *, if_changed: bool = False, on_event: OnEvent | None = None) -> RunResult:
        """Run the stack of a claimed tenant, in the order that is safe for its room."""
        record = self.record(spec.name)
        stack, _ = self.stack_of(spec)
        *before, last = stages(spec, record.room)
        earlier = [self.engine.up(stack, tenant_program(one), on_event=on_event) for one in before]
        result = self.engine.up(stack, tenant_program(last), if_changed=if_changed, on_event=on_event)
        if not earlier:
            return result
        runs = (*earlier, result)
        return replace(
            result,
            changes=tuple(change for one in runs for change in one.changes),
            counts={op: sum(one.counts.get(op, 0) for one in runs) for op in Op},
            seconds=sum(one.seconds for one in runs),
        )

    # -- releases -----------------------------------------------------------------------------------------

    def spec_of(self, record: Record, installed: Installed | None = None) -> TenantSpec:
        """The tenant as its record has it, or with another release. A test environment past its last day is still what
        it was."""
        return resolve(
            parse_tenant(record.manifest, source=record.source),
            catalogue=self.catalogue,
            cell=self.cell,
            incarnation=record.incarnation,
            managed_by=record.managed_by,
            today=record.created_at.date(),
            pinned_release=record.release,
            pinned_template_version=record.template_version,
            installed=installed or record.installed,
            volumes=record.volumes,
            closed=record.activity == Activity.CLOSED,
        )

    def install(self, name: str, installed: Installed, *, on_event: OnEvent | None = None) -> RunResult:
        """Run the stack of a living tenant at a step of its release; the record says so before the run begins. Call it
        with the tenant's release held. Raises what stops the run."""
        with self.registry.exclusive():
            record = self.record(name)
            spec = self.spec_of(record, installed)
            self._check_engine(spec)
            noted = {
                "release": installed.release,
                "template_version": installed.template_version,
                "hold": installed.hold,
            }
            self.registry.claim(record.model_copy(update=noted))
        result = self._run(spec, on_event=on_event)
        with self.registry.exclusive():
            self.registry.claim(self.record(name).model_copy(update={"resources": result.resources}))
        return result

    def installed(self, name: str) -> None:
        """Note that the last `install` of the tenant reached its goal, and nothing is held back."""
        record = self.record(name)
        spec = self.spec_of(record)
        tenant = parse_tenant(record.manifest, source=record.source).tenant
        self.registry.finished(
            name,
            activity=spec.activity.value,
            resources=record.resources,
            room=room_of(spec),
            wish=wish(tenant, spec),
        )

    def operations(self, namespace: str) -> Operations:
        """Journals of long operations on the tenant of a namespace."""
        return Operations(self.folder, namespace)

    def _refuse_deleted(self, name: str) -> None:
        deletion = self.deletions.get(name)
        if deletion is not None and deletion.cancelled_at is None:
            raise Conflict(
                f"tenant {name} is being deleted",
                where=name,
                hint=f"`tenantry tenant undelete {name}` brings it back"
                if deletion.erasing_since is None
                else f"its data is being erased: finish with `tenantry tenant delete {name}`, then the name is free",
            )

    def record(self, name: str) -> Record:
        """The tenant's record. Raises InvalidInput for a tenant that the cell does not have."""
        record = self.registry.get(name)
        if record is None:
            known = ", ".join(found.name for found in self.registry.all()) or "none yet"
            raise InvalidInput(
                f"this cell has no tenant {name}",
                hint=f"tenants of cell {self.cell.metadata.name}: {known}; see `tenantry tenant list`",
            )
        return record

    def stack_of(self, spec: TenantSpec) -> tuple[Stack, Program]:
        return tenant_stack(spec.name, spec.incarnation, self.backend), tenant_program(spec)

    def resources(self, spec: TenantSpec) -> tuple[Node, ...]:
        """The tenant's resources as its state has them, as trees."""
        return tree_of(self._checkpoint(tenant_stack(spec.name, spec.incarnation, self.backend)))

    def manifests(self, spec: TenantSpec) -> dict[str, str]:
        """The Kubernetes manifests that the tenant's program asks for, by file name."""
        stack, program = self.stack_of(spec)
        desired = self._evaluator.evaluate(stack, program)
        return to_files(one.inputs for one in desired.resources if one.is_kubernetes)

    def applied_manifests(self, spec: TenantSpec) -> dict[str, str]:
        """The manifests of the last run, by file name; empty before the first."""
        resources = self._checkpoint(tenant_stack(spec.name, spec.incarnation, self.backend))
        return to_files(one["inputs"] for one in resources if str(one["type"]).startswith("kubernetes:"))

    def show(self, name: str) -> Shown:
        """What is true of one tenant now."""
        record = self.record(name)
        modules = modules_of(record.namespace)
        return Shown(
            record=record,
            conditions=conditions_of(record, modules, simulated=self.cell.spec.kubernetes.simulated_nodes),
            modules=modules,
            resources=tree_of(self._checkpoint(tenant_stack(name, record.incarnation, self.backend))),
        )

    def _checkpoint(self, stack: Stack) -> Sequence[Mapping[str, Any]]:
        deployment = self.engine.export(stack).get("deployment") or {}
        return deployment.get("resources") or ()

    def judge(self, spec: TenantSpec) -> Judgement:
        """What the policies say of the tenant's resources. Touches nothing."""
        return self._judged(*self.stack_of(spec))

    def judge_cell(self) -> Judgement:
        """What the policies say of the cell's own resources. Touches nothing."""
        return self._judged(cell_stack(self.cell, self.backend), cell_program(self.cell))

    def _judged(self, stack: Stack, program: Program) -> Judgement:
        from tenantry_policies.embedded import judge_desired

        return judge_desired(self._evaluator.evaluate(stack, program).resources)

    # -- runs ---------------------------------------------------------------------------------------------

    def preview(self, spec: TenantSpec, *, on_event: OnEvent | None = None) -> Preview:
        stack, program = self.stack_of(spec)
        return self.engine.preview(stack, program, on_event=on_event)

    def drift(self, name: str) -> tuple[Finding, ...]:
        """What of the tenant is otherwise than its last run left it. Changes nothing, runs no program."""
        record = self.record(name)
        stack = tenant_stack(name, record.incarnation, self.backend)
        return findings_of(self.engine.drift(stack).changes)

    def mend(self, name: str, *, on_event: OnEvent | None = None) -> tuple[Finding, ...]:
        """Put back what was changed behind the tenant's back, as its last run left it; what was put back. What is lost
        with its data, and what others made, stays as it is."""
        record = self.record(name)
        stack = tenant_stack(name, record.incarnation, self.backend)
        return findings_of(self.engine.mend(stack, on_event=on_event).changes)

    def up(
        self,
        specs: Sequence[tuple[TenantFile, TenantSpec]],
        *,
        parallel: int = 2,
        if_changed: bool = False,
        on_event: Callable[[str, Event], None] | None = None,
    ) -> tuple[Applied, ...]:
        """Run the stacks of checked tenants, `parallel` at once; results in the order given.

        The records are claimed first, all or none, so that a killed run is finished under the same names.
        """
        for file, spec in specs:
            self.check_fits(file, spec)
        with self.registry.exclusive():
            for _, spec in specs:
                self._refuse_deleted(spec.name)
            specs = [(file, self._as_recorded(file, spec)) for file, spec in specs]
            for _, spec in specs:
                self._check_engine(spec)
            new = {spec.name for _, spec in specs if self.registry.get(spec.name) is None}
            for file, spec in specs:
                self.registry.claim(self._record(file, spec))
        done: dict[int, Applied] = {}
        with ThreadPoolExecutor(max_workers=max(1, parallel), thread_name_prefix="tenant") as pool:
            futures = {
                pool.submit(self._up_one, spec, if_changed, on_event): index for index, (_, spec) in enumerate(specs)
            }
            try:
                for future in as_completed(futures):
                    done[futures[future]] = future.result()
            except BaseException:
                self.engine.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for one in done.values():
            if one.spec.name in new and isinstance(one.error, PolicyViolated):
                # Nothing was made, so that nothing has to be kept of it: not its name, not its hosts.
                self.registry.forget(one.spec.name)
        return tuple(done[index] for index in range(len(specs)))

    def _check_engine(self, spec: TenantSpec) -> None:
        """Refuse, before anything is recorded, a tenant that needs another engine. Raises Unsupported."""
        if spec.database.tier is DatabaseTier.RDS and isinstance(self.engine, EmbeddedEngine):
            raise Unsupported(
                f"tenant {spec.name} has an rds database, and the embedded engine has no provider for AWS",
                where="spec.database.tier",
                hint="run this stack by the Pulumi CLI (`pulumi up`): docs/aws.md",
            )

    def _as_recorded(self, file: TenantFile, spec: TenantSpec) -> TenantSpec:
        """Resolve again when another driver recorded the tenant, or a release of it, since it was resolved."""
        record = self.registry.get(spec.name)
        if record is None or (record.incarnation == spec.incarnation and record.installed == _installed(spec)):
            return spec
        return self._resolve(file, taken=dict(self.registry.taken_hosts()), managed_by=spec.managed_by)

    def _check_installed(self, spec: TenantSpec) -> None:
        """Refuse a run that would undo a step of a release."""
        record = self.registry.get(spec.name)
        if record is not None and record.installed != _installed(spec):
            raise Locked(
                f"a release of {spec.name} began meanwhile",
                where=spec.name,
                hint=f"`tenantry tenant upgrade {spec.name}` finishes it; then run this again",
            )

    def _up_one(self, spec: TenantSpec, if_changed: bool, on_event: Callable[[str, Event], None] | None) -> Applied:
        def forward(event: Event) -> None:
            if on_event is not None:
                on_event(spec.name, event)

        try:
            with self.releases.exclusive(spec.name):
                self._check_installed(spec)
                result = self._run(spec, if_changed=if_changed, on_event=forward)
        except TenantryError as error:
            return Applied(spec=spec, result=None, error=error)
        if result.changes:
            self.registry.finished(
                spec.name, activity=spec.activity.value, resources=result.resources, room=room_of(spec)
            )
        return Applied(spec=spec, result=result, error=None)

    def check_destroyable(self, name: str) -> Record:
        """The record of a test environment; any other tenant is refused with InvalidInput."""
        record = self.record(name)
        check_test_environment(name, record.environment)
        return record

    def destroy(self, name: str, *, on_event: OnEvent | None = None) -> RunResult:
        """Remove a test environment with all its data. The record goes last, so that a killed run can be repeated."""
        record = self.check_destroyable(name)
        stack = tenant_stack(name, record.incarnation, self.backend)
        with self.releases.exclusive(name):
            result = self.engine.destroy(stack, lift_protection=True, on_event=on_event)
            self.engine.remove(stack)
            self.operations(record.namespace).forget()
            self.registry.forget(name)
        return result

    def _record(self, file: TenantFile, spec: TenantSpec) -> Record:
        earlier = self.registry.get(spec.name)
        return Record(
            name=spec.name,
            incarnation=spec.incarnation,
            managed_by=spec.managed_by,
            created_at=earlier.created_at if earlier else datetime.now(UTC),
            finished_at=earlier.finished_at if earlier else None,
            source=file.source,
            manifest=file.text,
            hosts=spec.hosts,
            release=spec.workload.release,
            template_version=spec.workload.template_version,
            environment=spec.environment.value,
            plan=spec.plan,
            namespace=spec.names.namespace,
            uid=earlier.uid if earlier else None,
            wish=earlier.wish if earlier else "",
            activity=earlier.activity if earlier else spec.activity.value,
            resources=earlier.resources if earlier else 0,
            database_tier=spec.database.tier.value,
            hold=spec.hold,
            last_good=earlier.last_good if earlier else None,
            room=roomier(earlier.room if earlier else {}, room_of(spec)),
            volumes=(earlier.volumes if earlier else {}) | volumes_of(spec),
        )


def check_test_environment(name: str, environment: str) -> None:
    """Raises InvalidInput for every other: only test environments end without a deletion's safeguards."""
    if environment != Environment.TEST:
        raise InvalidInput(
            f"tenant {name} is a {environment} environment; only test environments can be destroyed here",
            hint="a tenant with customers' data is only ever deprovisioned, with a grace period, a final backup "
            "and a certificate: `tenantry tenant delete`",
        )


def _installed(spec: TenantSpec) -> Installed:
    return Installed(release=spec.workload.release, template_version=spec.workload.template_version, hold=spec.hold)


def _brought_back(file: TenantFile, record: Record) -> bool:
    """Whether the object was made anew for the tenant that is there: it names its incarnation."""
    return file.tenant.metadata.annotations.get(INCARNATION) == record.incarnation
