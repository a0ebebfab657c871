"""The CLI's event stream as ours: one change a resource, with its effect, whatever steps the CLI takes for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from pulumi.automation.events import EngineEvent, OpType, StepEventMetadata

from tenantry.engine import urn
from tenantry.engine.effects import kubernetes_effect, worst
from tenantry.engine.interface import (
    Change,
    Diagnostic,
    Effect,
    Event,
    Op,
    ResourceFinished,
    ResourceStarted,
    RunFinished,
    RunStarted,
)

__all__ = ["Events"]

_OPS = {
    OpType.SAME: Op.SAME,
    OpType.CREATE: Op.CREATE,
    OpType.IMPORT: Op.CREATE,
    OpType.UPDATE: Op.UPDATE,
    OpType.DELETE: Op.DELETE,
    OpType.DISCARD: Op.DELETE,
    OpType.REPLACE: Op.REPLACE,
    OpType.CREATE_REPLACEMENT: Op.REPLACE,
    OpType.DELETE_REPLACED: Op.REPLACE,
    OpType.DISCARD_REPLACED: Op.REPLACE,
    OpType.IMPORT_REPLACEMENT: Op.REPLACE,
    OpType.READ: Op.READ,
    OpType.READ_REPLACEMENT: Op.READ,
}
_COLOUR = re.compile(r"<\{%[^%]*%\}>")
_ROOT_PATHS = ("__", "apiVersion", "kind")


class Events:
    """Collects one run. changes: by URN, everything but `same`. problems: the CLI's error messages, in order."""

    def __init__(self, stack: str, operation: str, emit: Callable[[Event], None]) -> None:
        self._stack = stack
        self._operation = operation
        self._emit = emit
        self._began = time.perf_counter()
        self._started: dict[str, float] = {}
        self._announced = False
        self.changes: dict[str, Change] = {}
        self.counts: dict[Op, int] = {}
        self.problems: list[Diagnostic] = []
        self.resources = 0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @property
    def worst(self) -> Effect:
        return worst(change.effect for change in self.changes.values())

    def __call__(self, event: EngineEvent) -> None:
        """Called by the Automation API, from its own threads, one event after the other."""
        if event.prelude_event is not None and not self._announced:
            self._announced = True
            self._emit(RunStarted(stack=self._stack, operation=self._operation, total=0))
        elif event.resource_pre_event is not None:
            self._begin(event.resource_pre_event.metadata, planning=bool(event.resource_pre_event.planning))
        elif event.res_outputs_event is not None:
            self._end(event.res_outputs_event.metadata, planning=bool(event.res_outputs_event.planning))
        elif event.res_op_failed_event is not None:
            self._fail(event.res_op_failed_event.metadata)
        elif event.diagnostic_event is not None:
            self._say(event.diagnostic_event.severity, event.diagnostic_event.message, event.diagnostic_event.urn)
        elif event.policy_event is not None:
            policy = event.policy_event
            severity = "error" if policy.enforcement_level == "mandatory" else "warning"
            self._say(severity, f"[{policy.policy_name}] {policy.message}", policy.resource_urn)
        elif event.summary_event is not None:
            self._summarise(event.summary_event.resource_changes)

    def finished(self) -> None:
        """The command ended well."""
        self._emit(RunFinished(stack=self._stack, seconds=self.seconds, counts=dict(self.counts)))

    # -- one resource ----------------------------------------------------------------------------------------------

    def _begin(self, step: StepEventMetadata, *, planning: bool) -> None:
        change = self._change(step)
        if change is None:
            return
        if planning:
            self._keep(change)
        elif change.op is not Op.SAME:
            self._started.setdefault(change.urn, time.perf_counter())
            self._emit(ResourceStarted(change=change))

    def _end(self, step: StepEventMetadata, *, planning: bool) -> None:
        change = self._change(step)
        if change is None:
            return
        kept = self._keep(change)
        if not planning and kept.op is not Op.SAME:
            seconds = time.perf_counter() - self._started.get(change.urn, time.perf_counter())
            self._emit(ResourceFinished(change=kept, seconds=seconds))

    def _fail(self, step: StepEventMetadata) -> None:
        change = self._change(step)
        if change is None:
            return
        seconds = time.perf_counter() - self._started.get(change.urn, time.perf_counter())
        said = [one.message for one in self.problems if one.urn == change.urn]
        self._emit(ResourceFinished(change=change, seconds=seconds, error=said[-1] if said else "it failed"))

    def _keep(self, change: Change) -> Change:
        """Several steps of one resource (create the new, delete the old) are one change: the first, which says why."""
        if change.op in (Op.SAME, Op.READ):
            return change
        earlier = self.changes.get(change.urn)
        if earlier is None or (earlier.op is not Op.REPLACE and change.op is Op.REPLACE):
            self.changes[change.urn] = change
        return self.changes[change.urn]

    def _change(self, step: StepEventMetadata) -> Change | None:
        op = _OPS.get(step.op)
        if op is None:  # a refresh step says what it found only when it ends; others are bookkeeping
            return None
        paths = tuple(
            path
            for path in sorted(step.detailed_diff or dict.fromkeys(step.diffs or ()))
            if not path.startswith(_ROOT_PATHS)
        )
        state = step.old if op is Op.DELETE else step.new or step.old
        inputs = dict(state.inputs or {}) if state is not None else {}
        return Change(
            urn=step.urn,
            type=step.type,
            name=urn.name_of(step.urn),
            op=op,
            effect=_effect(step, op, inputs, paths),
            paths=paths,
            reason=f"{', '.join(step.keys)} cannot be changed in place" if op is Op.REPLACE and step.keys else "",
        )

    # -- the run ---------------------------------------------------------------------------------------------------

    def _say(self, severity: str, message: str, name: str | None) -> None:
        text = _COLOUR.sub("", message).strip()
        if not text:
            return
        said = Diagnostic(severity=severity.partition("#")[0], message=text, urn=name or None)
        if said.severity == "error":
            self.problems.append(said)
        if said.severity != "debug":
            self._emit(said)

    def _summarise(self, found: Mapping[Any, int]) -> None:
        self.counts = {}
        for name, count in found.items():
            op = _OPS.get(OpType(name))
            if op is not None and name not in (OpType.CREATE_REPLACEMENT.value, OpType.DELETE_REPLACED.value):
                self.counts[op] = self.counts.get(op, 0) + count
        self.resources = sum(count for op, count in self.counts.items() if op is not Op.DELETE)


def _effect(step: StepEventMetadata, op: Op, inputs: Mapping[str, Any], paths: tuple[str, ...]) -> Effect:
    """What the change does to the tenant, by the rules of the embedded engine."""
    package = urn.package_of(step.type)
    if package == "kubernetes" and inputs.get("kind"):
        return kubernetes_effect(op, inputs, paths)
    state = step.old or step.new
    custom = bool(state is not None and state.custom) and not step.type.startswith("pulumi:providers:")
    if not custom or op in (Op.SAME, Op.CREATE, Op.READ):
        return Effect.NONE
    if op is Op.UPDATE:
        return Effect.IN_PLACE
    kept = state is not None and (state.protect or state.retain_on_delete)
    return Effect.DATA_LOSS if kept else Effect.DOWNTIME
