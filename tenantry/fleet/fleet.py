"""`Fleet`: apply, preview and destroy the tenants of one cell.

Every input is checked before the first tenant is touched; then each tenant goes its own way, several at once,
and one that fails holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

from tenantry.engine import EmbeddedEngine
from tenantry.engine.interface import Engine, Event, OnEvent, Preview, Program, RunResult, Stack
from tenantry.fleet.deletions import Deletions
from tenantry.fleet.drifted import findings_of
from tenantry.fleet.fitting import check_fits
from tenantry.fleet.home import cell_home
from tenantry.fleet.manifests import to_files
from tenantry.fleet.operations import Operations
from tenantry.fleet.programs import cell_program, cell_stack, tenant_program, tenant_stack
from tenantry.fleet.provisioner import DEPROVISIONER, ProvisionerToken
from tenantry.fleet.registry import Record, Registry
from tenantry.fleet.releases import Releases
from tenantry.fleet.shown import Node, Shown, conditions_of, modules_of, tree_of
from tenantry.fleet.specs import Specs
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.drift import Finding
from tenantry.tenancy.errors import (
    Conflict,
    InvalidInput,
    Locked,
    PolicyViolated,
    TenantryError,
    Unsupported,
)
from tenantry.tenancy.judgement import Judgement
from tenantry.tenancy.manifest import TenantFile, parse_tenant
from tenantry.tenancy.resolving import wish
from tenantry.tenancy.room import room_of, roomier, stages, volumes_of
from tenantry.tenancy.spec import DatabaseTier, Environment, Installed, TenantSpec

__all__ = ["Applied", "Fleet", "check_test_environment"]


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
        self.specs = Specs(
            cell=cell, catalogue=catalogue, registry=self.registry, deletions=self.deletions, folder=folder
        )
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

    def apply(
        self, file: TenantFile, spec: TenantSpec, *, uid: str, wish: str, on_event: OnEvent | None = None
    ) -> RunResult:
        """Run the stack of one admitted tenant, which fits (`check_fits`). Its record is claimed first; a killed run is
        finished by the next.

        wish: noted in the record when the run has reached its goal. Raises what stops the run.
        """
        with self.registry.exclusive():
            self.deletions.refuse(spec.name)
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
        """Refuse a new tenant whose origin is not there, and a change that takes away what the tenant uses, as measured
        now. Raises InvalidInput with what is wrong, DependencyUnavailable where it should be measured and cannot."""
        check_fits(file, spec, registry=self.registry, cell=self.cell)

    def _run(self, spec: TenantSpec, *, if_changed: bool = False, on_event: OnEvent | None = None) -> RunResult:
        """Run the stack of a claimed tenant, in the order that is safe for its room."""
        record = self.record(spec.name)
        stack, _ = self.stack_of(spec)
        *before, last = stages(spec, record.room)
        earlier = [self.engine.up(stack, tenant_program(one), on_event=on_event) for one in before]
        result = self.engine.up(stack, tenant_program(last), if_changed=if_changed, on_event=on_event)
        return reduce(RunResult.then, (*earlier, result))

    # -- releases -----------------------------------------------------------------------------------------

    def install(self, name: str, installed: Installed, *, on_event: OnEvent | None = None) -> RunResult:
        """Run the stack of a living tenant at a step of its release; the record says so before the run begins. Call it
        with the tenant's release held. Raises what stops the run."""
        with self.registry.exclusive():
            record = self.record(name)
            spec = self.specs.of(record, installed)
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
        spec = self.specs.of(record)
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
        with its data, and what others made, stays as it is. Raises Conflict while something else changes the tenant on
        purpose, Locked while it is held."""
        with self.releases.exclusive(name):
            record = self.record(name)
            changing = self.operations(record.namespace).changing()
            if changing is not None:
                raise Conflict(
                    f"a {changing} of {name} is under way, which putting back would disturb",
                    where=name,
                    hint="let it end first",
                )
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
                self.deletions.refuse(spec.name)
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
        return self.specs.resolve_again(file, spec)

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
