"""Converging: carry a plan out, wave by wave, so that a kill at any moment can be finished by the next run.

Before a wave its intents are on disk, after it the checkpoint. Every step is an upsert or a delete that may be
repeated. The first error ends the run after its wave; what was done is saved, and all errors are told together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from tenantry.engine.awaiting import Awaited, Readiness, State, await_ready, default_timeout
from tenantry.engine.checkpoint import Recorded
from tenantry.engine.cluster import ApiError
from tenantry.engine.desired import Desired
from tenantry.engine.dynamic_resources import DynamicResources, Made
from tenantry.engine.interface import Change, Event, Op, ResourceFinished, ResourceStarted
from tenantry.engine.journal import Intent, Journal
from tenantry.engine.kubernetes_resources import Reference
from tenantry.engine.planning import Plan, Planner, Step, body_of
from tenantry.engine.projecting import kubernetes_outputs, project, provider_outputs
from tenantry.engine.sealing import Sealer
from tenantry.tenancy.errors import DependencyUnavailable, RunFailed, TenantryError

__all__ = ["Converger"]

_DELETE_TIMEOUT_S = 600.0


@dataclass(slots=True, kw_only=True)
class _Failure:
    change: Change
    error: TenantryError


@dataclass(slots=True, kw_only=True)
class Converger:
    """states: the checkpoint's resources by URN, brought up to date as steps end. save: writes them.

    stop: set when the run was told to end; waits watch it.
    """

    planner: Planner
    sealer: Sealer
    dynamic: DynamicResources
    journal: Journal
    threads: ThreadPoolExecutor
    states: dict[str, Recorded]
    saved: Mapping[str, Recorded]
    save: Callable[[Iterable[Recorded]], None]
    emit: Callable[[Event], None]
    stop: threading.Event
    _failures: list[_Failure] = field(default_factory=list)

    def run(self, plan: Plan, desired: Desired | None) -> None:
        """Raises RunFailed, or DependencyUnavailable when that is what stopped it; the state is saved either way."""
        try:
            if desired is not None:
                self._declare(plan, desired)
                if any(step.change.op is not Op.SAME and not step.is_logical for step in plan.upserts):
                    self._checkpoint()
            for _, wave in groupby(sorted(_acting(plan.upserts), key=_wave), key=_wave):
                self._upsert_wave(tuple(wave))
            self._settle(plan)
            for _, wave in groupby(sorted(_acting(plan.deletes), key=_wave), key=_wave):
                self._delete_wave(tuple(wave), {step.change.urn for step in plan.deletes})
            if desired is not None:
                self._finish(plan, desired)
            for step in plan.deletes:
                if step.is_logical:
                    self.states.pop(step.change.urn, None)
        finally:
            self._checkpoint()

    # -- upserts ---------------------------------------------------------------------------------------------------

    def _declare(self, plan: Plan, desired: Desired) -> None:
        """Components and providers exist as soon as they are said; others refer to them. Outputs stay the old ones."""
        for step in plan.upserts:
            if step.wanted is not None and step.is_logical:
                outputs = provider_outputs(step.inputs) if step.wanted.is_provider else None
                self.states[step.change.urn] = project(
                    step.wanted,
                    id_=step.wanted.id,
                    inputs=step.inputs,
                    outputs=outputs,
                    prior=step.recorded,
                    sealer=self.sealer,
                )
        self._reorder(desired)

    def _settle(self, plan: Plan) -> None:
        """Unchanged resources get their present options (parents, dependencies), if those changed."""
        for step in plan.upserts:
            if step.wanted is None or step.is_logical or step.change.op is not Op.SAME or step.recorded is None:
                continue
            self.states[step.change.urn] = project(
                step.wanted,
                id_=step.recorded.id,
                inputs=step.inputs,
                outputs=None,
                prior=step.recorded,
                sealer=self.sealer,
            )

    def _finish(self, plan: Plan, desired: Desired) -> None:
        """Outputs of components and of the stack, once everything stands, in registration order."""
        for step in plan.upserts:
            if step.wanted is not None and not step.wanted.custom:
                self.states[step.change.urn] = project(
                    step.wanted,
                    id_="",
                    inputs=step.inputs,
                    outputs=desired.outputs.get(step.change.urn, {}),
                    prior=step.recorded,
                    sealer=self.sealer,
                )
        self._reorder(desired)

    def _reorder(self, desired: Desired) -> None:
        order = {one.urn: self.states[one.urn] for one in desired.resources if one.urn in self.states}
        rest = {name: state for name, state in self.states.items() if name not in order}
        self.states.clear()
        self.states.update({**order, **rest})

    def _upsert_wave(self, steps: tuple[Step, ...]) -> None:
        self._may_go_on()
        self.journal.add(Intent(op=step.change.op.value, state=self._intended(step).raw) for step in steps)
        started = time.monotonic()
        applied = list(self.threads.map(self._upsert, steps))
        waiting: dict[str, dict[Reference, tuple[Mapping[str, Any], float]]] = {}
        for step, live in zip(steps, applied, strict=True):
            if isinstance(live, dict) and step.reference is not None:
                group = waiting.setdefault(step.provider or "", {})
                group[step.reference] = (live, _timeout(step))
        seen: dict[tuple[str, Reference], Awaited] = {}
        try:
            for provider, group in waiting.items():
                results = await_ready(self.planner.cluster(provider), group, stopped=self.stop.wait)
                seen.update({(provider, reference): one for reference, one in results.items()})
        except TenantryError as error:
            self._failures.append(_Failure(change=steps[0].change, error=error))
        for step, made in zip(steps, applied, strict=True):
            self._record(step, made, seen, time.monotonic() - started)
        self._checkpoint()
        self._raise_failures()

    def _upsert(self, step: Step) -> Made | dict[str, Any] | None:
        """The object as answered, the dynamic resource as made, None after a failure."""
        self.emit(ResourceStarted(change=step.change))
        started = time.monotonic()
        try:
            return self._apply(step) if step.reference is not None else self._ensure(step)
        except TenantryError as error:
            self._fail(step, error, time.monotonic() - started)
            return None

    def _apply(self, step: Step) -> dict[str, Any]:
        cluster = self.planner.cluster(step.provider)
        live = step.live
        if step.change.op is Op.REPLACE and step.recorded is not None:
            old = self.planner.reference_of(step.recorded)
            uid = live["metadata"]["uid"] if live is not None and old == step.reference else None
            cluster.delete(old, uid, _delete_timeout(step), self.stop.wait)
            live = None if old == step.reference else live
        elif step.change.op is Op.REPLACE and step.reference is not None and live is not None:
            cluster.delete(step.reference, live["metadata"]["uid"], _delete_timeout(step), self.stop.wait)
            live = None
        try:
            return cluster.apply(body_of(step), step.manager, live=live)
        except ApiError as error:
            raise RunFailed(f"{step.reference}: {error}", where=str(step.reference)) from error

    def _ensure(self, step: Step) -> Made:
        title = f"{step.change.type} {step.change.name}"
        known = step.recorded is not None and not step.recorded.pending
        if step.change.op is Op.CREATE or step.recorded is None or not known:
            return self.dynamic.create(title, step.inputs)
        outputs = self.planner.opened(step.recorded.raw.get("outputs") or {})
        if step.change.op is Op.REPLACE:
            self.dynamic.delete(title, step.recorded.id, outputs)
            return self.dynamic.create(title, step.inputs)
        return self.dynamic.update(title, step.recorded.id, outputs, step.inputs)

    def _record(
        self,
        step: Step,
        made: Made | dict[str, Any] | None,
        seen: Mapping[tuple[str, Reference], Awaited],
        seconds: float,
    ) -> None:
        if made is None or step.wanted is None:
            return
        if isinstance(made, Made):
            self.states[step.change.urn] = self._projected(step, made.id, made.outputs)
            self.emit(ResourceFinished(change=step.change, seconds=seconds))
            return
        waiting = Readiness(state=State.WAITING, reason="the run was stopped before it was ready")
        awaited = Awaited(readiness=waiting, live=made)
        if step.reference is not None:
            awaited = seen.get((step.provider or "", step.reference), awaited)
        live = awaited.live or made
        outputs = kubernetes_outputs(
            live, step.inputs, manager=step.manager, initial_api_version=self._initial_version(step)
        )
        ready = awaited.readiness.state is State.READY
        errors = () if ready else (awaited.readiness.reason,)
        self.states[step.change.urn] = self._projected(step, step.wanted.id, outputs, errors)
        if ready:
            self.emit(ResourceFinished(change=step.change, seconds=seconds))
        else:
            error = RunFailed(
                f"{step.reference} is not ready: {awaited.readiness.reason}",
                where=str(step.reference),
                hint="run again to go on waiting",
            )
            self._fail(step, error, seconds)

    def _intended(self, step: Step) -> Recorded:
        """What a run that is killed now would leave to its successor."""
        wanted = step.wanted
        if wanted is None:
            raise RunFailed("a delete was planned as an upsert", where=step.change.urn)
        outputs: dict[str, Any] = dict(step.inputs) if step.reference is None else {"__fieldManager": step.manager}
        id_ = wanted.id or (step.recorded.id if step.recorded is not None else "")
        return project(wanted, id_=id_, inputs=step.inputs, outputs=outputs, prior=step.recorded, sealer=self.sealer)

    def _projected(self, step: Step, id_: str, outputs: Mapping[str, Any], errors: tuple[str, ...] = ()) -> Recorded:
        if step.wanted is None:
            raise RunFailed("a delete was planned as an upsert", where=step.change.urn)
        return project(
            step.wanted,
            id_=id_,
            inputs=step.inputs,
            outputs=outputs,
            prior=step.recorded,
            sealer=self.sealer,
            init_errors=errors,
        )

    def _initial_version(self, step: Step) -> str | None:
        outputs = step.recorded.raw.get("outputs") or {} if step.recorded is not None else {}
        version: str | None = outputs.get("__initialApiVersion")
        return version

    # -- deletes ---------------------------------------------------------------------------------------------------

    def _delete_wave(self, steps: tuple[Step, ...], going: set[str]) -> None:
        self._may_go_on()
        self.journal.add(
            Intent(op=step.change.op.value, state=step.recorded.raw) for step in steps if step.recorded is not None
        )
        for step, done in zip(steps, self.threads.map(lambda one: self._delete(one, going), steps), strict=True):
            if done:
                self.states.pop(step.change.urn, None)
        self._checkpoint()
        self._raise_failures()

    def _delete(self, step: Step, going: set[str]) -> bool:
        self.emit(ResourceStarted(change=step.change))
        started = time.monotonic()
        raw: Mapping[str, Any] = step.recorded.raw if step.recorded is not None else {}
        try:
            # What goes with another resource is not deleted by itself.
            if not step.retained and raw.get("deletedWith") not in going:
                self._remove(step, raw)
        except TenantryError as error:
            self._fail(step, error, time.monotonic() - started)
            return False
        self.emit(ResourceFinished(change=step.change, seconds=time.monotonic() - started))
        return True

    def _remove(self, step: Step, raw: Mapping[str, Any]) -> None:
        if step.reference is not None:
            uid = step.live["metadata"]["uid"] if step.live is not None else None
            self.planner.cluster(step.provider).delete(step.reference, uid, _delete_timeout(step), self.stop.wait)
            return
        state = self.planner.opened(raw.get("outputs") or raw.get("inputs") or {})
        self.dynamic.delete(f"{step.change.type} {step.change.name}", str(raw.get("id", "")), state)

    # -- both ------------------------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        if self.states != self.saved:
            self.save(self.states.values())
            self.saved = dict(self.states)

    def _may_go_on(self) -> None:
        if self.stop.is_set():
            raise RunFailed("the run was stopped", hint="what was done is saved; run again to go on")

    def _fail(self, step: Step, error: TenantryError, seconds: float) -> None:
        self._failures.append(_Failure(change=step.change, error=error))
        self.emit(ResourceFinished(change=step.change, seconds=seconds, error=error.message))

    def _raise_failures(self) -> None:
        if not self._failures:
            return
        if self.stop.is_set():
            raise RunFailed("the run was stopped", hint="what was done is saved; run again to go on")
        for failure in self._failures:
            if isinstance(failure.error, DependencyUnavailable):
                raise failure.error
        if len(self._failures) == 1:
            raise self._failures[0].error
        told = "; ".join(f"{one.change.type} {one.change.name}: {one.error.message}" for one in self._failures)
        hint = next((one.error.hint for one in self._failures if one.error.hint), "mend the causes and run again")
        raise RunFailed(f"{len(self._failures)} changes failed: {told}", where=self._failures[0].change.urn, hint=hint)


def _acting(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if step.change.op is not Op.SAME and not step.is_logical]


def _wave(step: Step) -> int:
    return step.wave


def _timeout(step: Step) -> float:
    timeouts = step.wanted.timeouts if step.wanted is not None else None
    own = None
    if timeouts is not None:
        own = timeouts.update if step.change.op is Op.UPDATE else timeouts.create
    return own or default_timeout(step.reference.kind if step.reference is not None else "")


def _delete_timeout(step: Step) -> float:
    if step.wanted is not None and step.wanted.timeouts is not None and step.wanted.timeouts.delete:
        return step.wanted.timeouts.delete
    raw: Mapping[str, Any] = step.recorded.raw if step.recorded is not None else {}
    return float((raw.get("customTimeouts") or {}).get("delete") or _DELETE_TIMEOUT_S)
