"""Deciding: what is to be done about each wanted resource. Reads; changes nothing.

The judgements themselves are pure (judging.py); here they are fed: the live object, server-side apply as a dry run
where only the API server can tell, a provider's read and diff.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tenantry.engine.checkpoint import Recorded
from tenantry.engine.cluster import ApiError, as_ours
from tenantry.engine.desired import DesiredResource
from tenantry.engine.dynamic_resources import DynamicResources
from tenantry.engine.effects import kubernetes_effect
from tenantry.engine.interface import Change, Effect, Op
from tenantry.engine.judging import Verdict, after_dry_run, ignoring, judge_kubernetes, judge_logical
from tenantry.engine.kubernetes_resources import Reference, field_manager, is_ours, reference_of
from tenantry.engine.plan import Step
from tenantry.engine.properties import matches
from tenantry.engine.reach import Reach
from tenantry.tenancy.errors import Conflict

__all__ = ["Decider"]

_ENDING = "it is being deleted"
_OVER_QUOTA = "exceeded quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """Safe to use from several threads."""

    reach: Reach
    dynamic: DynamicResources

    def logical(self, one: DesiredResource) -> Step:
        recorded = self.reach.recorded.get(one.urn)
        before = self.reach.opened(recorded.raw.get("inputs") or {}) if recorded is not None else None
        # A default provider only repeats the stack's config, which the CLI keeps in other files than we do: no change.
        verdict = (
            Verdict(op=Op.SAME) if before is not None and one.is_default_provider else judge_logical(one.inputs, before)
        )
        return Step(change=_change(one, verdict), wanted=one, recorded=recorded, inputs=one.inputs)

    def of_dynamic(self, one: DesiredResource) -> Step:
        recorded = self.reach.recorded.get(one.urn)
        title = f"{one.type} {one.name}"
        if recorded is None or recorded.pending:
            self.dynamic.check(title, {}, one.inputs)
            reason = "" if recorded is None else "a run that was cut short began it"
            return Step(
                change=_change(one, Verdict(op=Op.CREATE, reason=reason)),
                wanted=one,
                recorded=recorded,
                inputs=one.inputs,
            )
        before = self.reach.opened(recorded.raw.get("inputs") or {})
        outputs = self.reach.opened(recorded.raw.get("outputs") or {})
        inputs = ignoring(one.inputs, before, one.ignore_changes)
        verdict = self._judge_dynamic(one, recorded, before, outputs, inputs)
        step = Step(change=_change(one, verdict), wanted=one, recorded=recorded, inputs=inputs)
        _guard(step)
        return step

    def _judge_dynamic(
        self,
        one: DesiredResource,
        recorded: Recorded,
        before: Mapping[str, Any],
        outputs: Mapping[str, Any],
        inputs: Mapping[str, Any],
    ) -> Verdict:
        title = f"{one.type} {one.name}"
        made = self.dynamic.read(title, recorded.id, outputs)
        if made is None:
            return Verdict(op=Op.CREATE, reason="it is gone")
        if not matches(dict(before), dict(inputs)):
            self.dynamic.check(title, before, inputs)
            result = self.dynamic.diff(title, recorded.id, outputs, inputs)
            paths = tuple(
                key
                for key in sorted(before.keys() | inputs.keys())
                if not key.startswith("__") and not matches(before.get(key), inputs.get(key))
            )
            if result.replaces:
                effect = self.dynamic.effect_without(inputs, kept=one.protect or one.retain_on_delete)
                reason = f"{', '.join(result.replaces)} cannot be changed in place"
                return Verdict(op=Op.REPLACE, effect=effect, paths=paths, reason=reason)
            if result.changes is not False:
                return Verdict(op=Op.UPDATE, effect=Effect.IN_PLACE, paths=paths)
        drift = self.dynamic.drifted(inputs, made)
        if drift:
            return Verdict(op=Op.UPDATE, effect=Effect.IN_PLACE, paths=drift, reason="it was changed outside")
        if recorded.raw.get("initErrors"):
            return Verdict(op=Op.UPDATE, reason="the last run did not finish it")
        return Verdict(op=Op.SAME)

    def kubernetes(
        self, one: DesiredResource, reference: Reference, live: Mapping[str, Any] | None, claimed: bool
    ) -> Step:
        recorded = self.reach.recorded.get(one.urn)
        outputs = recorded.raw.get("outputs") or {} if recorded is not None else {}
        manager = str(outputs.get("__fieldManager") or field_manager(one.urn))
        known = recorded is not None and not recorded.pending
        before = self.reach.opened(recorded.raw.get("inputs") or {}) if recorded is not None and known else None
        stands = before is not None and reference_of(before) == reference
        if live is not None and not stands and not claimed and not is_ours(live, one.inputs, manager):
            raise Conflict(
                f"{reference} already exists and does not belong to this stack",
                where=str(reference),
                hint="rename the resource, or delete that object if nobody needs it",
            )
        inputs = ignoring(one.inputs, before, one.ignore_changes)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            effect = kubernetes_effect(Op.REPLACE, one.inputs)
            verdict = Verdict(op=Op.REPLACE, effect=effect, reason=_ENDING)
        else:
            moved = before is not None and live is not None and _moved(live, outputs)
            verdict = judge_kubernetes(
                inputs,
                recorded=before,
                outputs=self.reach.opened(outputs) if moved else outputs,
                live=live,
                unfinished=bool(recorded is not None and recorded.raw.get("initErrors")),
                replace_on=one.replace_on_changes,
            )
        step = Step(
            change=_change(one, verdict),
            ask=verdict if verdict.ask else None,
            wanted=one,
            recorded=recorded,
            inputs=inputs,
            reference=reference,
            live=live,
            manager=manager,
            provider=self.reach.provider_of(one),
        )
        _guard(step)
        return step

    def ask(self, step: Step) -> Step:
        """The step once the API server has said what its apply would do."""
        wanted, reference = step.wanted, step.reference
        if wanted is None or reference is None or step.live is None or step.ask is None:
            return step
        cluster = self.reach.cluster(step.provider)
        body = step.body
        try:
            result: dict[str, Any] | None = cluster.apply(body, step.manager, dry_run=True)
        except ApiError as error:
            if error.status == 403 and _OVER_QUOTA in str(error):
                return replace(step, ask=None)  # this run may raise the quota first
            if error.status != 422 or not cluster.allows_new(body):
                raise as_ours(error, where=str(reference)) from error
            result = None  # as a new object it is fine, so it is the change that is not
        final = after_dry_run(step.ask, step.inputs, step.live, result)
        step = replace(step, change=_change(wanted, final), ask=None)
        _guard(step)
        return step


def _change(one: DesiredResource, verdict: Verdict) -> Change:
    return Change(
        urn=one.urn,
        type=one.type,
        name=one.name,
        op=verdict.op,
        effect=verdict.effect,
        paths=verdict.paths,
        reason=verdict.reason,
    )


def _guard(step: Step) -> None:
    """Replacing deletes: a protected or retained resource refuses it."""
    recorded = step.recorded
    if step.change.op is not Op.REPLACE or step.change.reason == _ENDING:
        return
    if recorded is not None and (recorded.protect or recorded.retain_on_delete):
        raise Conflict(
            f"{step.change.type} {step.change.name} is protected and would be replaced: {step.change.reason}",
            where=step.change.urn,
            hint="take the change back; what must be replaced is restored into a new tenant",
        )


def _moved(live: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    """Whether an object was written since it was recorded (only then its recorded outputs must be decrypted)."""
    recorded: Callable[[str], Any] = (outputs.get("metadata") or {}).get
    return bool(live["metadata"].get("resourceVersion") != recorded("resourceVersion"))
