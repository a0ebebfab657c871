"""One run of one stack, from its lock to its last save. Called in a worker process, or in the caller's.

A run reads what is recorded (checkpoint, journal of a killed run), evaluates, plans, converges and projects; each
method is one operation of the engine's interface.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tenantry.engine import checkpoint
from tenantry.engine.acting import Actor
from tenantry.engine.checkpoint import Checkpoint, Recorded
from tenantry.engine.converging import Converger
from tenantry.engine.desired import Desired
from tenantry.engine.dynamic_resources import DynamicResources
from tenantry.engine.evaluating import evaluate
from tenantry.engine.fingerprint import remember
from tenantry.engine.guarding import guarded
from tenantry.engine.history import write_history
from tenantry.engine.interface import (
    Change,
    Effect,
    Event,
    Op,
    PhaseFinished,
    Preview,
    Program,
    RunFinished,
    RunResult,
    RunStarted,
    Stack,
)
from tenantry.engine.journal import Journal
from tenantry.engine.locking import break_lock, hold
from tenantry.engine.outputs import root_outputs
from tenantry.engine.plan import Plan
from tenantry.engine.planning import Planner
from tenantry.engine.reach import Reach
from tenantry.engine.recording import Record
from tenantry.engine.remembering import remembered, with_losses, without_losses
from tenantry.engine.renaming import renamed
from tenantry.engine.sealing import Sealer, delete_key
from tenantry.engine.settling import refreshed, settled
from tenantry.engine.stack_key import StackKey
from tenantry.engine.storage import StackFiles
from tenantry.tenancy.errors import Conflict

__all__ = ["Run"]

_THREADS = 8


class Run:
    """stop: set from outside to end the run after the wave that is under way."""

    def __init__(self, stack: Stack, *, emit: Callable[[Event], None], stop: threading.Event) -> None:
        self._stack = stack
        self._files = StackFiles(stack)
        self._key = StackKey(stack=stack, files=self._files)
        self._journal = Journal(self._files.journal)
        self._dynamic = DynamicResources(stack.project, stack.config)
        self._stop = stop
        self._emit_lock = threading.Lock()
        self._send = emit
        self._started = time.time()
        self._timings: dict[str, float] = {}
        self._text: bytes | None = None

    # -- operations ------------------------------------------------------------------------------------------------

    def preview(self, program: Program) -> Preview:
        with ThreadPoolExecutor(_THREADS) as threads:
            last = checkpoint.read(self._files)
            recorded = self._recorded(last)
            sealer = self._existing_sealer(last)
            desired = self._judged(program, self._evaluate(program, recorded))
            planner = self._planner(renamed(recorded, desired), sealer, threads)
            with self._timed("plan"):
                plan = planner.plan(desired)
            return Preview(
                changes=plan.changes,
                resources=len(desired.resources),
                seconds=time.time() - self._started,
                worst=plan.worst,
            )

    def up(self, program: Program) -> RunResult:
        with hold(self._files), ThreadPoolExecutor(_THREADS) as threads:
            with self._timed("load"):
                last = checkpoint.read(self._files)
                recorded = self._recorded(last)
            desired = self._judged(program, self._evaluate(program, recorded))
            sealer = self._existing_sealer(last) or self._key.new()
            recorded = renamed(recorded, desired)
            planner = self._planner(recorded, sealer, threads)
            with self._timed("plan"):
                plan = planner.plan(desired)
            result = self._converge("update", planner, plan, desired, sealer, last, threads)
            remember(self._files, program.fingerprint)
            return result

    def destroy(self, *, lift_protection: bool) -> RunResult:
        with hold(self._files), ThreadPoolExecutor(_THREADS) as threads:
            last = checkpoint.read(self._files)
            recorded = self._recorded(last)
            sealer = self._existing_sealer(last)
            if not recorded or sealer is None:
                self._journal.clear()
                return self._result((), {}, {})
            protected = [one for one in recorded.values() if one.protect and not one.is_logical]
            if protected and not lift_protection:
                raise Conflict(
                    f"{len(protected)} resources are protected, {protected[0].urn.rpartition('::')[2]} first",
                    where=self._stack.name,
                    hint="deprovision the tenant instead: it has a grace period, a backup and a certificate",
                )
            planner = self._planner(recorded, sealer, threads)
            with self._timed("plan"):
                plan = planner.plan_destroy(lift_protection=lift_protection)
            return self._converge("destroy", planner, plan, None, sealer, last, threads)

    def refresh(self) -> RunResult:
        with hold(self._files), ThreadPoolExecutor(_THREADS) as threads:
            last = checkpoint.read(self._files)
            sealer = self._existing_sealer(last)
            if last is None or sealer is None:
                return self._result((), {}, {})
            self._refuse_unfinished(last)
            self._emit(RunStarted(stack=self._stack.name, operation="refresh", total=len(last.resources)))
            planner = self._planner(last.resources, sealer, threads)
            states, changes = refreshed(planner.reach, self._dynamic, sealer, last.resources, threads)
            return self._settle(last, states, changes, sealer)

    def drift(self) -> Preview:
        with ThreadPoolExecutor(_THREADS) as threads:
            last = checkpoint.read(self._files)
            sealer = self._existing_sealer(last)
            if last is None or sealer is None:
                return Preview(changes=(), resources=0, seconds=time.time() - self._started, worst=Effect.NONE)
            _planner, plan, desired = self._remembered(sealer, last, threads)
            return Preview(
                changes=(*plan.changes, *plan.strangers),
                resources=len(desired.resources),
                seconds=time.time() - self._started,
                worst=plan.worst,
            )

    def mend(self) -> RunResult:
        with hold(self._files), ThreadPoolExecutor(_THREADS) as threads:
            last = checkpoint.read(self._files)
            sealer = self._existing_sealer(last)
            if last is None or sealer is None:
                return self._result((), {}, {})
            planner, plan, desired = self._remembered(sealer, last, threads)
            return self._converge("update", planner, without_losses(plan), desired, sealer, last, threads)

    def recover(self, *, lock: str = "") -> RunResult:
        """lock: of somebody else's dead run, to be broken first."""
        if lock:
            break_lock(self._files, lock)
        with hold(self._files), ThreadPoolExecutor(_THREADS) as threads:
            last = checkpoint.read(self._files)
            recorded = self._recorded(last)
            sealer = self._existing_sealer(last)
            if sealer is None:
                self._journal.clear()
                return self._result((), {}, {})
            planner = self._planner(recorded, sealer, threads)
            states, changes = settled(
                planner.reach, self._dynamic, sealer, recorded, threads, doubtful=self._doubtful(last)
            )
            forced = last is not None and bool(last.pending)
            result = self._settle(last, states, changes, sealer, forced=forced)
            self._journal.clear()
            return result

    def remove(self) -> None:
        with hold(self._files):
            last = checkpoint.read(self._files)
            left = self._recorded(last)
            if left:
                raise Conflict(
                    f"the stack still has {len(left)} resources",
                    where=self._stack.name,
                    hint="destroy it first",
                )
            # The files first: a run that finds them needs the key, and one that is repeated only has the key to delete.
            self._files.remove()
            delete_key(self._stack.secrets_provider)

    def evaluate(self, program: Program) -> Desired:
        return self._evaluate(program, self._recorded(checkpoint.read(self._files)))

    def outputs(self) -> dict[str, Any]:
        last = checkpoint.read(self._files)
        sealer = self._existing_sealer(last)
        if last is None or sealer is None:
            return {}
        return root_outputs(last.resources, sealer)

    def export(self) -> dict[str, Any]:
        last = checkpoint.read(self._files)
        latest = last.document["checkpoint"].get("latest") if last is not None else None
        return {"version": 3, "deployment": latest or {}}

    # -- parts -----------------------------------------------------------------------------------------------------

    def _recorded(self, last: Checkpoint | None) -> dict[str, Recorded]:
        """The checkpoint's resources and, marked pending, what a killed run may have made beyond them."""
        recorded = dict(last.resources) if last is not None else {}
        begun = [one["resource"] for one in last.pending if one.get("type") == "creating"] if last is not None else []
        begun += [intent.state for intent in self._journal.read() if intent.op != Op.DELETE]
        for raw in begun:
            if raw["urn"] not in recorded or recorded[raw["urn"]].pending:
                recorded[raw["urn"]] = Recorded(raw, pending=True)
        return recorded

    def _doubtful(self, last: Checkpoint | None) -> set[str]:
        """URNs of recorded resources that a killed run was changing or deleting."""
        urns = {str(intent.state["urn"]) for intent in self._journal.read() if intent.op != Op.CREATE}
        if last is not None:
            urns |= {str(one["resource"]["urn"]) for one in last.pending if one.get("type") != "creating"}
            urns |= {name for name, one in last.resources.items() if one.raw.get("pendingReplacement")}
        return urns

    def _evaluate(self, program: Program, recorded: Mapping[str, Recorded]) -> Desired:
        ids = {name: one.id for name, one in recorded.items() if one.type.startswith("pulumi:providers:")}
        with self._timed("evaluate"):
            return evaluate(self._stack, program, known_ids=ids, emit=self._emit)

    def _judged(self, program: Program, desired: Desired) -> Desired:
        with self._timed("judge"):
            return guarded(desired, program.policies, where=self._stack.name, emit=self._emit)

    def _remembered(
        self, sealer: Sealer, last: Checkpoint, threads: ThreadPoolExecutor
    ) -> tuple[Planner, Plan, Desired]:
        recorded = self._recorded(last)
        if any(one.pending for one in recorded.values()):
            raise self._unfinished()
        desired = remembered(recorded, sealer)
        planner = self._planner(recorded, sealer, threads)
        with self._timed("plan"):
            return planner, with_losses(planner.plan(desired), self._dynamic), desired

    def _planner(self, recorded: Mapping[str, Recorded], sealer: Sealer | None, threads: ThreadPoolExecutor) -> Planner:
        reach = Reach(recorded=recorded, sealer=sealer, threads=threads)
        return Planner(reach=reach, dynamic=self._dynamic, threads=threads)

    def _converge(
        self,
        kind: str,
        planner: Planner,
        plan: Plan,
        desired: Desired | None,
        sealer: Sealer,
        last: Checkpoint | None,
        threads: ThreadPoolExecutor,
    ) -> RunResult:
        self._emit(RunStarted(stack=self._stack.name, operation=kind, total=len(plan.changes)))
        record = Record(
            sealer=sealer,
            states={name: one for name, one in planner.reach.recorded.items() if not one.pending},
            saved=last.resources if last is not None and not last.pending else {},
            save=lambda states: self._save(states, sealer),
        )
        converger = Converger(
            actor=Actor(reach=planner.reach, dynamic=self._dynamic, stop=self._stop),
            record=record,
            journal=self._journal,
            threads=threads,
            emit=self._emit,
            stop=self._stop,
        )
        succeeded = False
        try:
            with self._timed("converge"):
                converger.run(plan, desired)
            succeeded = True
        finally:
            if self._text is not None:
                write_history(
                    self._files,
                    self._stack,
                    kind=kind,
                    started=self._started,
                    counts=plan.counts,
                    checkpoint=self._text,
                    succeeded=succeeded,
                )
        self._journal.clear()
        self._emit(RunFinished(stack=self._stack.name, seconds=time.time() - self._started, counts=plan.counts))
        return self._result(plan.changes, plan.counts, root_outputs(record.states, sealer))

    def _settle(
        self,
        last: Checkpoint | None,
        states: Mapping[str, Recorded],
        changes: tuple[Change, ...],
        sealer: Sealer,
        *,
        forced: bool = False,
    ) -> RunResult:
        counts = {Op.SAME: len(states) - sum(1 for one in changes if one.op is not Op.DELETE)}
        for change in changes:
            counts[change.op] = counts.get(change.op, 0) + 1
        if forced or last is None or states != last.resources:
            self._save(states.values(), sealer)
            write_history(
                self._files,
                self._stack,
                kind="refresh",  # Pulumi has no word for recovering
                started=self._started,
                counts=counts,
                checkpoint=self._text or b"",
                succeeded=True,
            )
        self._emit(RunFinished(stack=self._stack.name, seconds=time.time() - self._started, counts=counts))
        return self._result(changes, counts, root_outputs(states, sealer))

    def _refuse_unfinished(self, last: Checkpoint) -> None:
        if last.pending or self._journal.read():
            raise self._unfinished()

    def _unfinished(self) -> Conflict:
        return Conflict(
            "a run of this stack was cut short",
            where=self._stack.name,
            hint="finish it first: run the same `up` again",
        )

    def _result(self, changes: tuple[Change, ...], counts: Mapping[Op, int], outputs: Mapping[str, Any]) -> RunResult:
        return RunResult(
            changes=changes,
            counts=dict(counts),
            outputs=dict(outputs),
            seconds=time.time() - self._started,
            timings=dict(self._timings),
        )

    def _save(self, states: Iterable[Recorded], sealer: Sealer) -> None:
        with self._timed("save"):
            self._text = checkpoint.write(self._files, self._stack, states, secrets=sealer.state)

    def _existing_sealer(self, last: Checkpoint | None) -> Sealer | None:
        with self._timed("unseal"):
            return self._key.existing(last)

    def _emit(self, event: Event) -> None:
        with self._emit_lock:
            self._send(event)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began, started = time.time(), time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self._timings[what] = self._timings.get(what, 0.0) + seconds
            self._emit(PhaseFinished(stack=self._stack.name, name=what, began=began, seconds=seconds))
