"""Finds out exactly what was changed behind a tenant's back, says so, and puts it back where the tenant's policy is to.

Claims only who is suspected by the look at the whole cell (drifting.py). First it looks and says what it found; the
next turn mends, from the tenant's record alone: no program is run, so that a newer Tenantry changes nothing by it.
What it knows stands in the journal `drift`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import ValidationError

from tenantry.engine.interface import Event
from tenantry.fleet import Fleet
from tenantry.fleet.operations import Operations
from tenantry.tenancy.conditions import Condition
from tenantry.tenancy.drift import Drift, condition_of, told, wants_mending
from tenantry.tenancy.errors import StateCorrupt
from tenantry.tenancy.lifecycle import Claim, Verb
from tenantry.tenancy.spec import DriftPolicy
from tenantry_operator.contract import Context, Outcome
from tenantry_operator.drifting import Suspicions
from tenantry_operator.metrics import Metrics
from tenantry_operator.tracing import phases

__all__ = ["KIND", "CheckDrift", "open_cases"]

KIND = "drift"


class CheckDrift:
    verb = Verb.DRIFT

    def __init__(self, suspicions: Suspicions, metrics: Metrics) -> None:
        self._suspicions = suspicions
        self._metrics = metrics

    def claim(self, context: Context) -> Claim | None:
        made = context.record is not None and context.record.finished_at is not None
        if not made or context.deleting:
            return None
        if context.operations.changing() is not None:
            return None
        if wants_mending(_known(context), _policy(context)):
            return Claim(verb=self.verb, why="it was changed behind its back", at=context.now)
        why = self._suspicions.of(context.name)
        if why:
            return Claim(verb=self.verb, why=f"it may have been changed behind its back: {why[0]}", at=context.now)
        return None

    def act(self, context: Context) -> Outcome:
        known, policy = _known(context), _policy(context)
        if wants_mending(known, policy) and known is not None:
            return self._mend(context, known)
        findings = context.fleet.drift(context.name)
        self._suspicions.clear(context.name)
        if not findings:
            if known is not None and known.findings:
                context.operations.close(KIND)
                return Outcome(sentence="what was changed behind its back is as recorded again")
            return Outcome(sentence="nothing was changed behind its back")
        if known is None or known.findings != findings:
            _note(context, Drift(findings=findings, found_at=datetime.now(UTC)))
            for one in findings:
                self._metrics.drift_found.labels(what=one.what.value, kind=one.kind).inc()
        return Outcome(sentence=f"changed behind its back: {told(findings)}")

    def _mend(self, context: Context, known: Drift) -> Outcome:
        mended = context.fleet.mend(context.name, on_event=phases(_unheard))
        left = tuple(one for one in known.findings if not one.mendable)
        # A kill before this line finds nothing to mend the next time, and notes what was found.
        put_back = mended or tuple(one for one in known.findings if one.mendable)
        _note(context, Drift(findings=left, found_at=known.found_at, mended=put_back, mended_at=datetime.now(UTC)))
        self._suspicions.clear(context.name)
        self._metrics.drift_mended.inc(len(put_back))
        return Outcome(sentence=f"put back: {told(put_back)}")

    def conditions(self, context: Context) -> tuple[Condition, ...]:
        if context.record is None or context.record.finished_at is None:
            return ()
        return (condition_of(_known(context), _policy(context)),)


def open_cases(fleet: Fleet) -> tuple[str, ...]:
    """Names of the tenants at which drift stands; the journal of one that was put back stays, to be told of."""
    return tuple(one.name for one in fleet.registry.all() if _stands(fleet.operations(one.namespace)))


def _stands(operations: Operations) -> bool:
    try:
        journal = operations.get(KIND) or {}
    except StateCorrupt:
        return True  # its tenant's look says so
    return bool(journal.get("findings"))


def _unheard(_event: Event) -> None:
    """Nobody follows a mending; its phases are traced all the same."""


def _policy(context: Context) -> DriftPolicy:
    return context.tenant.spec.drift_policy if context.tenant is not None else DriftPolicy.REPORT


def _known(context: Context) -> Drift | None:
    content = context.operations.get(KIND)
    if content is None:
        return None
    try:
        return Drift.model_validate(content)
    except ValidationError:
        raise StateCorrupt(
            "what is known of the tenant's drift cannot be read",
            where=f"{context.namespace}/{KIND}.json",
            hint="delete the file: the next look at the cell finds everything again",
        ) from None


def _note(context: Context, drift: Drift) -> None:
    context.operations.put(KIND, drift.model_dump(mode="json"))
