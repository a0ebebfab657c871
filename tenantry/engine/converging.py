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

from tenantry.engine.acting import Actor
from tenantry.engine.awaiting import Awaited, Readiness, State, await_ready, default_timeout
from tenantry.engine.desired import Desired
from tenantry.engine.dynamic_resources import Made
from tenantry.engine.interface import Change, Event, Op, ResourceFinished, ResourceStarted
from tenantry.engine.journal import Intent, Journal
from tenantry.engine.kubernetes_resources import Reference
from tenantry.engine.plan import Plan, Step
from tenantry.engine.recording import Record
from tenantry.tenancy.errors import DependencyUnavailable, RunFailed, TenantryError

__all__ = ["Converger"]


@dataclass(slots=True, kw_only=True)
class _Failure:
    change: Change
    error: TenantryError


@dataclass(slots=True, kw_only=True)
class Converger:
    """record: brought up to date as steps end. stop: set when the run was told to end; waits watch it."""

    actor: Actor
    record: Record
    journal: Journal
    threads: ThreadPoolExecutor
    emit: Callable[[Event], None]
    stop: threading.Event
    _failures: list[_Failure] = field(default_factory=list)

    def run(self, plan: Plan, desired: Desired | None) -> None:
        """Raises RunFailed, or DependencyUnavailable when that is what stopped it; the state is saved either way."""
        record = self.record
        try:
            if desired is not None:
                record.declare(plan, desired)
                if any(step.acts for step in plan.upserts):
                    record.keep()
            for _, wave in groupby(sorted(_acting(plan.upserts), key=_wave), key=_wave):
                self._upsert_wave(tuple(wave))
            record.settle(plan)
            for _, wave in groupby(sorted(_acting(plan.deletes), key=_wave), key=_wave):
                self._delete_wave(tuple(wave), {step.change.urn for step in plan.deletes})
            if desired is not None:
                record.finish(plan, desired)
            for step in plan.deletes:
                if step.is_logical:
                    record.forget(step.change.urn)
        finally:
            record.keep()

    # -- upserts ---------------------------------------------------------------------------------------------------

    def _upsert_wave(self, steps: tuple[Step, ...]) -> None:
        self._may_go_on()
        self.journal.add(self.record.intent(step) for step in steps)
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
                results = await_ready(self.actor.reach.cluster(provider), group, stopped=self.stop.wait)
                seen.update({(provider, reference): one for reference, one in results.items()})
        except TenantryError as error:
            self._failures.append(_Failure(change=steps[0].change, error=error))
        for step, made in zip(steps, applied, strict=True):
            self._record(step, made, seen, time.monotonic() - started)
        self.record.keep()
        self._raise_failures()

    def _upsert(self, step: Step) -> Made | dict[str, Any] | None:
        """The object as answered, the dynamic resource as made, None after a failure."""
        self.emit(ResourceStarted(change=step.change))
        started = time.monotonic()
        try:
            return self.actor.upsert(step)
        except TenantryError as error:
            self._fail(step, error, time.monotonic() - started)
            return None

    def _record(
        self,
        step: Step,
        made: Made | dict[str, Any] | None,
        seen: Mapping[tuple[str, Reference], Awaited],
        seconds: float,
    ) -> None:
        if made is None:
            return
        if isinstance(made, Made) or step.reference is None:
            if isinstance(made, Made):
                self.record.made(step, made)
            self.emit(ResourceFinished(change=step.change, seconds=seconds))
            return
        waiting = Readiness(state=State.WAITING, reason="the run was stopped before it was ready")
        awaited = seen.get((step.provider or "", step.reference), Awaited(readiness=waiting, live=made))
        self.record.awaited(step, awaited, made)
        if awaited.readiness.state is State.READY:
            self.emit(ResourceFinished(change=step.change, seconds=seconds))
            return
        error = RunFailed(
            f"{step.reference} is not ready: {awaited.readiness.reason}",
            where=str(step.reference),
            hint="run again to go on waiting",
        )
        self._fail(step, error, seconds)

    # -- deletes ---------------------------------------------------------------------------------------------------

    def _delete_wave(self, steps: tuple[Step, ...], going: set[str]) -> None:
        self._may_go_on()
        self.journal.add(
            Intent(op=step.change.op.value, state=step.recorded.raw) for step in steps if step.recorded is not None
        )
        for step, done in zip(steps, self.threads.map(lambda one: self._delete(one, going), steps), strict=True):
            if done:
                self.record.forget(step.change.urn)
        self.record.keep()
        self._raise_failures()

    def _delete(self, step: Step, going: set[str]) -> bool:
        self.emit(ResourceStarted(change=step.change))
        started = time.monotonic()
        raw: Mapping[str, Any] = step.recorded.raw if step.recorded is not None else {}
        try:
            # What goes with another resource is not deleted by itself.
            if not step.retained and raw.get("deletedWith") not in going:
                self.actor.remove(step)
        except TenantryError as error:
            self._fail(step, error, time.monotonic() - started)
            return False
        self.emit(ResourceFinished(change=step.change, seconds=time.monotonic() - started))
        return True

    # -- both ------------------------------------------------------------------------------------------------------

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
    return [step for step in steps if step.acts]


def _wave(step: Step) -> int:
    return step.wave


def _timeout(step: Step) -> float:
    timeouts = step.wanted.timeouts if step.wanted is not None else None
    own = None
    if timeouts is not None:
        own = timeouts.update if step.change.op is Op.UPDATE else timeouts.create
    return own or default_timeout(step.reference.kind if step.reference is not None else "")
