"""Runs cases one after the other on one cell, each with a bystander: a second tenant that is made at the same time."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

from bench.faults.cases import ASKED, FINISHED, WAVES, Case, Fault, Operation
from bench.faults.cell import FaultCell
from bench.faults.checks import Aftermath, traces_of, violations
from bench.faults.following import Follower
from bench.faults.operations import (
    LIMIT_S,
    Before,
    ask,
    has_ended,
    outcome_of,
    prepare,
    settle,
    until,
)
from bench.faults.pods import Pods
from bench.faults.striking import Struck, is_possible, prepared
from bench.faults.tenants import Tenant
from tenantry.engine.cluster import ApiError
from tenantry.tenancy.errors import TenantryError

__all__ = ["Result", "Suite"]

_TOLD = ("failed (attempt", "cannot be looked at", "does not work yet", "the Lease is lost")
"""What the operator's log says of a tenant when something that it needs is away."""
_ANY = (ApiError, TenantryError, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """where: the step at which the fault struck. problems: empty when it was survived. recovered_s: from the end of the
    fault until the tenant was at rest. away_s: from the fault until what failed was at work again. bystander_s: from
    its object to Ready, None when that never came."""

    case: Case
    where: str
    outcome: str
    problems: tuple[str, ...]
    recovered_s: float
    away_s: float
    bystander_s: float | None

    @property
    def survived(self) -> bool:
        return not self.problems


class Suite:
    """say: told each case as it ends. usual: seconds to Ready of bystanders beside an operation without a fault."""

    def __init__(self, cell: FaultCell, say: Callable[[str], None] = lambda _: None) -> None:
        self._cell = cell
        self._say = say
        self._numbers = itertools.count(1)
        self._mark = secrets.token_hex(2)
        self._at_rest: dict[tuple[str, str], list[Tenant]] = defaultdict(list)
        self._undisturbed: dict[tuple[str, ...], dict[str, str]] = {}
        self.usual: dict[Operation, list[float]] = defaultdict(list)

    def is_possible(self, case: Case) -> bool:
        return is_possible(self._cell, case.fault)

    def undisturbed(self, operation: Operation, plan: str = "starter") -> None:
        """The same without a fault, to compare with."""
        case = Case(operation=operation, fault=Fault.NONE, step=ASKED, plan=plan)
        found = self.run(case)
        if not found.survived or found.bystander_s is None:
            raise SystemExit(f"{operation} does not work even without a fault: {found.problems}")
        self.usual[operation].append(found.bystander_s)

    def usual_s(self, operation: Operation) -> float:
        return median(self.usual[operation])

    def run(self, case: Case) -> Result:
        run = _Run(self._cell, case, new=self._new, given=self._subject(case))
        try:
            run.do()
            problems = self._looked_at(run)
        except _ANY as error:
            problems = [f"{type(error).__name__}: {error}", *run.standing()]
        bystander_s = run.await_bystander()
        if bystander_s is None:
            problems.append("bystander: it is not Ready")
        elif run.bystander is not None:
            self._at_rest["fresh", run.bystander.plan].append(run.bystander)
        found = Result(
            case=case,
            where=run.where,
            outcome=run.outcome,
            problems=tuple(problems),
            recovered_s=run.recovered_s,
            away_s=run.struck.away_s,
            bystander_s=bystander_s,
        )
        self._say(_line(found))
        return found

    def _looked_at(self, run: _Run) -> list[str]:
        tenant, case = run.required, run.case
        release = "" if case.operation is Operation.DEPROVISION else self._cell.fleet.record(tenant.name).release
        key = (case.operation, run.outcome, release, case.plan)
        aftermath = Aftermath(
            tenant=tenant,
            operation=case.operation,
            before=run.before,
            undisturbed=self._undisturbed.get(key),
        )
        found = violations(aftermath)
        if case.fault is Fault.NONE and case.operation is not Operation.DEPROVISION:
            self._undisturbed.setdefault(key, traces_of(tenant))
            if case.operation is Operation.PROVISION and run.waves != WAVES and case.plan == "starter":
                self._say(f"a tenant is made in {run.waves} waves now, not in {WAVES}")
        if not found and case.operation is not Operation.DEPROVISION:
            settle(tenant, case.operation)
            kind = {Operation.PROVISION: "fresh", Operation.RESTORE: "restored"}.get(case.operation, "released")
            self._at_rest[kind, case.plan].append(tenant)
        return found

    def _subject(self, case: Case) -> Tenant | None:
        """A tenant on which the operation can be done; None where it is to be made."""
        if case.operation is Operation.PROVISION:
            return None
        kinds = {
            Operation.RESTORE: ("released", "fresh"),
            Operation.DEPROVISION: ("restored", "released", "fresh"),
        }.get(case.operation, ("fresh",))
        for kind in kinds:
            if self._at_rest[kind, case.plan]:
                return self._at_rest[kind, case.plan].pop()
        tenant = self._new(case.plan)
        until(
            f"{tenant.name} is Ready",
            lambda: has_ended(tenant, Operation.PROVISION, Follower(tenant, Operation.PROVISION)),
        )
        return tenant

    def _new(self, plan: str) -> Tenant:
        return Tenant.apply(self._cell, f"f{self._mark}n{next(self._numbers)}", plan)


class _Run:
    """One case under way."""

    def __init__(self, cell: FaultCell, case: Case, *, new: Callable[[str], Tenant], given: Tenant | None) -> None:
        self._cell = cell
        self._new = new
        self.case = case
        self.tenant = given
        self.bystander: Tenant | None = None
        self.before = Before()
        self.struck = Struck()
        self.where = ""
        self.outcome = "?"
        self.recovered_s = 0.0
        self.waves = 0
        self._ready_s: float | None = None
        self._watch: threading.Thread | None = None

    @property
    def required(self) -> Tenant:
        assert self.tenant is not None
        return self.tenant

    def do(self) -> None:
        case = self.case
        if self.tenant is not None:
            self.before = prepare(self.tenant, case.operation)
        with prepared(self._cell, case.fault) as strike:
            if self.tenant is None:
                self.tenant = self._new(case.plan)
            else:
                ask(self.tenant, case.operation)
            pods = Pods(self.tenant, case.operation)
            follower = Follower(self.tenant, case.operation)
            try:
                if not follower.reaches(case.step, within_s=LIMIT_S):
                    raise TimeoutError(f"step {case.step} is never reached")
                kills = case.fault.how == "killed"
                if not kills:
                    self._stand_by()
                    self.where = follower.step()
                self.struck = strike(self._noticed(follower))
                if kills:
                    self.where = follower.step()
                    self._stand_by()
                if case.fault is Fault.NONE:
                    follower.reaches(FINISHED, within_s=LIMIT_S)
                until(f"{self.tenant.name} is right again", lambda: has_ended(self.required, case.operation, follower))
                self.recovered_s = time.monotonic() - self.struck.ended
                self.waves = follower.waves
            finally:
                pods.stop()
        self.outcome = outcome_of(self.tenant, case.operation)
        pods.finish(self.outcome)

    def standing(self) -> list[str]:
        """What the tenant's object says when it does not come right."""
        found = self.tenant.standing() if self.tenant is not None else None
        return [] if found is None else [f"{found.phase}: {found.doing}"]

    def _noticed(self, follower: Follower) -> Callable[[], bool]:
        """Whether the operator has met the fault, or has nothing left to do for the tenant."""
        log = self._cell.log_of_operator()
        size = log.stat().st_size
        operator = self._cell.process("operator")

        def told() -> bool:
            if follower.step() == FINISHED or not operator.is_running():
                return True
            if self.case.fault.how == "slow":
                return False
            with log.open("rb") as file:
                file.seek(size)
                return any(_tells(line, self.required.name) for line in file)

        return told

    def _stand_by(self) -> None:
        """Make the bystander, and watch from the side when it is Ready."""
        self.bystander = bystander = self._new("starter")

        def watch() -> None:
            follower = Follower(bystander, Operation.PROVISION)
            with suppress(TimeoutError):
                until("Ready", lambda: has_ended(bystander, Operation.PROVISION, follower))
                self._ready_s = time.monotonic() - bystander.applied

        self._watch = threading.Thread(target=watch, daemon=True)
        self._watch.start()

    def await_bystander(self) -> float | None:
        if self._watch is not None:
            self._watch.join()
        return self._ready_s


def _tells(line: bytes, name: str) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return False
    message = str(said.get("message"))
    return said.get("tenant") in (name, None) and any(one in message for one in _TOLD)


def _line(found: Result) -> str:
    bystander = "never" if found.bystander_s is None else f"{found.bystander_s:.1f} s"
    told = f"{found.case.name} at {found.where}: {found.outcome}, {found.recovered_s:.1f} s, bystander {bystander}"
    return told + "".join(f"\n    NOT SURVIVED: {one}" for one in found.problems)
