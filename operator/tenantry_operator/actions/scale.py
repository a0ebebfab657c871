"""Gives each module of a tenant the replicas that follow from its load, its calendar and what people decided.

The operator owns the replicas of every module that has no autoscaler of Kubernetes; an autoscaler is left alone but
for its least and its most, which a campaign may narrow. It follows what the last finished run was asked for, so that
an edit that is refused, or is not done yet, does not stop a tenant from following its load; but nothing is raised above
the maxima that are asked for now.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import timedelta
from typing import Any

from tenantry.fleet.operations import under_way
from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status
from tenantry.tenancy.following import Row, explained, following, next_campaign_turn, not_beyond
from tenantry.tenancy.lifecycle import Claim, Verb
from tenantry.tenancy.resolving import wish
from tenantry.tenancy.scaling import Cap, Span, Target, by_cpu, scalable, span_of
from tenantry.tenancy.spec import Activity, TenantSpec
from tenantry.tenancy.workload_spec import ModuleSpec
from tenantry_operator.actions.drift import KIND as DRIFT
from tenantry_operator.contract import Context, Outcome
from tenantry_operator.objects import Stale, Tenants
from tenantry_operator.replicas import SeenSpans, scale, spans_in, widen
from tenantry_operator.sampling import Sampler

__all__ = ["Scale"]

_JOURNAL = "scale"
_HOLDING = ("release", "restore")
"""Journals of operations that stop modules on purpose and start them again themselves."""
_CAMPAIGN_LATE = timedelta(seconds=1)
_SEEN_AFTER = timedelta(seconds=1)
"""By then the API server's cache, from which modules are listed, has what was written."""


class Scale:
    """sampler: what is measured. What else is kept here is what autoscalers were last seen to have: asked for again by
    whoever does not know it."""

    verb = Verb.SCALE

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._seen = SeenSpans()

    def claim(self, context: Context) -> Claim | None:
        spec = self._spec(context)
        if spec is None:
            return None
        targets = self._targets(context, spec)
        running = _running(context, spec)
        differing = [one for one in targets if one.replicas != running[one.module]]
        if differing:
            why = ", ".join(f"{one.module} {running[one.module]} → {one.replicas}" for one in differing)
            return Claim(verb=self.verb, why=f"replicas follow: {why}", at=context.now)
        spans = _spans(context, spec)
        seen = self._seen.of(context.incarnation, _since(context)) if spans else {}
        if any(seen.get(module) != span for module, span in spans.items()):
            return Claim(verb=self.verb, why="a campaign narrows what an autoscaler may choose", at=context.now)
        turn = next_campaign_turn(spec, context.now)
        if turn is None:
            return None
        return Claim(verb=self.verb, why="a campaign begins or ends", at=turn + _CAMPAIGN_LATE)

    def act(self, context: Context) -> Outcome:
        spec = self._spec(context)
        if spec is None:
            return Outcome(sentence="nothing of it is to be scaled now")
        self._narrow(context, spec)
        running = _running(context, spec)
        done = []
        tenants = Tenants(context.kubernetes)
        for target in self._targets(context, spec):
            before = running[target.module]
            if target.replicas == before or context.cancelled.is_set():
                continue
            if not scale(context.kubernetes, context.namespace, target.module, target.replicas):
                continue
            sentence = f"{target.module} from {before} to {target.replicas}: {target.why}"
            done.append(sentence)
            try:
                tenants.tell(context.body, reason="Scaled", message=f"Scaled {sentence}", warning=False)
            except Stale:
                continue  # the namespace of events is going, which is no reason to scale less
        if done:
            self._remember(context, spec)
        if not done:
            return Outcome(sentence="every module has the replicas that it should have")
        return Outcome(sentence="; ".join(done), again_after=_SEEN_AFTER)

    def conditions(self, context: Context) -> tuple[Condition, ...]:
        """That something is held below what it asks for, while it is."""
        spec = self._spec(context)
        if spec is None:
            return ()
        # What the calendar holds is held on purpose.
        held = [one for one in self._targets(context, spec) if one.cap not in (None, Cap.CALENDAR)]
        if not held:
            return ()
        told = ", ".join(f"{one.module} at {one.replicas} by {one.cap}" for one in held)
        message = f"held below what is asked: {told}; status.modules says why"
        return (
            Condition(
                type=ConditionType.SCALING_LIMITED, status=Status.TRUE, reason=Reason.HELD_BY_CAP, message=message
            ),
        )

    def status(self, context: Context) -> Mapping[str, Any]:
        """The field `modules`: empty while nothing follows its load, left out while that is not known."""
        earlier = (context.body.get("status") or {}).get("modules") or ()
        spec = self._spec(context)
        if spec is None:
            return {} if self._held(context) or not earlier else {"modules": []}
        ready = {one.name: one.ready for one in context.modules or ()}
        rows = [Row(target=one, ready=ready[one.module]) for one in self._targets(context, spec)]
        return {"modules": explained(rows, earlier)}

    # -- parts --------------------------------------------------------------------------------------------

    def _spec(self, context: Context) -> TenantSpec | None:
        """What the tenant follows now, None while nothing of it is to be scaled."""
        record = context.record
        if record is None or not context.modules or context.deleting or context.fleet.deletions.get(context.name):
            spec = None
        else:
            spec = context.fleet.specs.in_force(record)
        if spec is None or spec.activity is not Activity.RUNNING:
            self._sampler.forget(context.name)
            self._seen.forget(context.incarnation)
            return None
        return None if self._held(context) else spec

    @staticmethod
    def _held(context: Context) -> bool:
        return any(under_way(context.operations.get(one)) for one in _HOLDING)

    def _targets(self, context: Context, spec: TenantSpec) -> tuple[Target, ...]:
        running = _running(context, spec)
        samples = self._sampler.follow(
            context.name, spec, running, earlier=lambda: _remembered(context), now=context.now
        )
        found = following(spec, running, samples, context.now)
        tenant, wanted = context.tenant, context.spec
        if tenant is None or wanted is None or context.record is None or context.record.wish == wish(tenant, wanted):
            return found
        return not_beyond(found, wanted, running)

    def _remember(self, context: Context, spec: TenantSpec) -> None:
        """What a tenant that is suspended after this comes back with."""
        kept = {one.module: one.replicas for one in self._targets(context, spec)}
        _note(context, replicas=kept)

    def _narrow(self, context: Context, spec: TenantSpec) -> None:
        """Autoscalers as the calendar wants them."""
        wanted = _spans(context, spec)
        if not wanted:
            return
        since = _since(context)
        found = spans_in(context.kubernetes, context.namespace)
        narrowed = {one.name for one in scalable(spec) if one.name in wanted and wanted[one.name] != _whole(one)}
        _note(context, narrowed=sorted(narrowed | _narrowed(context)))
        for module, span in wanted.items():
            if module in found and found[module] != span:
                widen(context.kubernetes, context.namespace, module, span)
        _note(context, narrowed=sorted(narrowed))
        self._seen.note(context.incarnation, since, wanted)


def _running(context: Context, spec: TenantSpec) -> dict[str, int]:
    """Replicas wanted of the modules that stand."""
    own = {one.name for one in scalable(spec)}
    return {one.name: one.wanted for one in context.modules or () if one.name in own}


def _remembered(context: Context) -> Mapping[str, int]:
    return dict((context.operations.get(_JOURNAL) or {}).get("replicas") or {})


def _narrowed(context: Context) -> frozenset[str]:
    """Modules whose autoscalers are not as their stack made them: to be put back, also when the calendar has gone."""
    return frozenset((context.operations.get(_JOURNAL) or {}).get("narrowed") or ())


def _note(context: Context, **fields: Any) -> None:
    context.operations.put(_JOURNAL, {**(context.operations.get(_JOURNAL) or {}), **fields})


def _since(context: Context) -> Hashable:
    """Changes when a run of the stack, or the mending of drift, may have written the autoscalers as the plan has
    them."""
    finished_at = context.record.finished_at if context.record is not None else None
    return finished_at, (context.operations.get(DRIFT) or {}).get("mended_at")


def _whole(module: ModuleSpec) -> Span:
    """What the stack lets an autoscaler choose between."""
    return Span(least=max(1, module.replicas_min), most=max(1, module.replicas_max))


def _spans(context: Context, spec: TenantSpec) -> dict[str, Span]:
    """What the autoscalers of modules that the calendar speaks of, or spoke of, should choose between; an autoscaler
    has no zero."""
    named = {one.module for campaign in spec.scaling.calendar for one in campaign.modules} | _narrowed(context)
    found = {}
    for module in scalable(spec):
        if module.name in named and by_cpu(spec, module):
            span = span_of(module, spec.scaling.calendar, context.now)
            found[module.name] = Span(least=max(1, span.least), most=max(1, span.most))
    return found
