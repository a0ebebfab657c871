"""Recording: the checkpoint's entries as a run brings them up to date, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.engine.awaiting import Awaited, State
from tenantry.engine.checkpoint import Recorded
from tenantry.engine.desired import Desired, DesiredResource
from tenantry.engine.dynamic_resources import Made
from tenantry.engine.interface import Op
from tenantry.engine.journal import Intent
from tenantry.engine.plan import Plan, Step
from tenantry.engine.projecting import kubernetes_outputs, project, provider_outputs
from tenantry.engine.sealing import Sealer
from tenantry.tenancy.errors import RunFailed

__all__ = ["Record"]


@dataclass(slots=True, kw_only=True)
class Record:
    """states: the checkpoint's resources by URN. saved: as they stand in the file. save: writes them."""

    sealer: Sealer
    states: dict[str, Recorded]
    saved: Mapping[str, Recorded]
    save: Callable[[Iterable[Recorded]], None]

    def keep(self) -> None:
        """Write the checkpoint if anything in it is new."""
        if self.states != self.saved:
            self.save(self.states.values())
            self.saved = dict(self.states)

    def forget(self, urn: str) -> None:
        self.states.pop(urn, None)

    def declare(self, plan: Plan, desired: Desired) -> None:
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

    def settle(self, plan: Plan) -> None:
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

    def finish(self, plan: Plan, desired: Desired) -> None:
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

    def intent(self, step: Step) -> Intent:
        """What a run that is killed now would leave to its successor."""
        outputs: dict[str, Any] = dict(step.inputs) if step.reference is None else {"__fieldManager": step.manager}
        wanted = _wanted(step)
        id_ = wanted.id or (step.recorded.id if step.recorded is not None else "")
        return Intent(op=step.change.op.value, state=self._projected(step, id_, outputs).raw)

    def made(self, step: Step, made: Made) -> None:
        """A dynamic resource stands."""
        self.states[step.change.urn] = self._projected(step, made.id, made.outputs)

    def awaited(self, step: Step, awaited: Awaited, applied: Mapping[str, Any]) -> None:
        """An object was applied and awaited. applied: as its apply was answered, for one that went away since."""
        outputs = kubernetes_outputs(
            awaited.live or applied, step.inputs, manager=step.manager, initial_api_version=_initial_version(step)
        )
        ready = awaited.readiness.state is State.READY
        errors = () if ready else (awaited.readiness.reason,)
        self.states[step.change.urn] = self._projected(step, _wanted(step).id, outputs, errors)

    def _projected(self, step: Step, id_: str, outputs: Mapping[str, Any], errors: tuple[str, ...] = ()) -> Recorded:
        return project(
            _wanted(step),
            id_=id_,
            inputs=step.inputs,
            outputs=outputs,
            prior=step.recorded,
            sealer=self.sealer,
            init_errors=errors,
        )


def _wanted(step: Step) -> DesiredResource:
    if step.wanted is None:
        raise RunFailed("a delete was planned as an upsert", where=step.change.urn)
    return step.wanted


def _initial_version(step: Step) -> str | None:
    outputs = step.recorded.raw.get("outputs") or {} if step.recorded is not None else {}
    version: str | None = outputs.get("__initialApiVersion")
    return version
