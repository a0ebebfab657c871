"""Restores: into the tenant that asks for one by an annotation, and into a new one that names its origin.

The steps and their journal are `tenantry.recovery`'s. A wish is answered once: what cannot be done is noted, not tried
again, until another wish is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tenantry.fleet.operations import ORIGIN
from tenantry.recovery.restoring import KIND, Restoring, refuse, restoration_of
from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status
from tenantry.tenancy.deletion import DELETE
from tenantry.tenancy.errors import Conflict, InvalidInput, Unsupported
from tenantry.tenancy.lifecycle import Claim, Stage, Verb
from tenantry.tenancy.recovery import RESTORE, Restoration, next_step, parse_goal
from tenantry.tenancy.spec import Activity
from tenantry_operator.contract import Context, Outcome, waits_for_a_hand

__all__ = ["Restore"]

_AGAIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """kind: of its journal. asked: the wish as it stands, "" for none. goal: what of it is to be brought back. origin:
    the tenant whose backup it is, None for its own."""

    kind: str
    asked: str
    goal: str
    origin: str | None


class Restore:
    verb = Verb.RESTORE

    def claim(self, context: Context) -> Claim | None:
        if context.spec is None or context.deleting or context.record is None or context.record.finished_at is None:
            return None
        wish = _wish(context)
        journal = restoration_of(context.operations, wish.kind)
        release = context.fleet.releases.get(context.namespace)
        if release is not None and release.under_way and not (journal is not None and journal.under_way):
            # It has taken hold of workload and schema, and leads back by itself when it fails.
            return Claim(verb=self.verb, why="a release is under way", at=context.now + _AGAIN) if wish.asked else None
        if journal is not None and journal.ended_at is None:
            return Claim(verb=self.verb, why=f"{journal.goal} is being brought back", at=context.now)
        if wish.asked and (journal is None or journal.asked != wish.asked):
            return Claim(verb=self.verb, why="a restore was asked for", at=context.now)
        return None

    def act(self, context: Context) -> Outcome:
        # Putting drift back, which the command line does in every cell (`Fleet.mend`), would start stopped schedules.
        with context.fleet.releases.exclusive(context.name):
            return self._restore(context)

    def _restore(self, context: Context) -> Outcome:
        wish = _wish(context)
        try:
            restoring = _restoring(context, wish)
            journal = restoring.journal()
            if journal is None or journal.ended_at is not None:
                restoring.request(wish.asked, parse_goal(wish.goal))
            elif wish.asked != journal.asked:
                restoring.give_up("it was taken back")
        except (InvalidInput, Conflict, Unsupported) as error:
            refuse(context.operations, wish.kind, wish.asked, error)
            return Outcome(sentence=f"its restore cannot begin: {error.message}")
        ended = restoring.advance()
        if ended.ended_at is None:
            return Outcome(sentence=f"stopped: {context.cancelled.why}; goes on later", again_after=_AGAIN)
        return Outcome(sentence=_told(ended))

    def conditions(self, context: Context) -> tuple[Condition, ...]:
        wish = _wish(context)
        journal = restoration_of(context.operations, wish.kind)
        journal = journal or restoration_of(context.operations, ORIGIN)
        if journal is None:
            return ()
        if journal.ended_at is None:
            message = f"{journal.goal} is being brought back, next: {next_step(journal)}"
            return (_condition(Status.FALSE, Reason.RESTORING, message, journal.asked),)
        if journal.problem:
            if wish.origin is not None and not context.deleting and DELETE not in context.annotations:
                told = f"its data did not come: {journal.problem}"
                hint = "change spec.origin, or take it out to begin with nothing"
                given_up = _condition(Status.FALSE, Reason.RESTORE_GIVEN_UP, told, journal.asked)
                return (given_up, *waits_for_a_hand(Reason.RESTORE_GIVEN_UP, f"{told}; {hint}"))
            return (_condition(Status.FALSE, Reason.RESTORE_GIVEN_UP, _told(journal), journal.asked),)
        return (_condition(Status.TRUE, Reason.RESTORED, _told(journal), journal.asked),)


def _wish(context: Context) -> _Wish:
    tenant, record = context.tenant, context.record
    origin = tenant.spec.origin if tenant is not None else None
    closed = context.spec is not None and context.spec.activity is Activity.CLOSED
    if origin is not None and record is not None and closed and context.expiry.stage is not Stage.OVERDUE:
        journal = restoration_of(context.operations, ORIGIN)
        if journal is None or journal.ended_at is None or journal.problem:
            return _Wish(
                kind=ORIGIN, asked=f"{origin.tenant} {origin.backup}", goal=origin.backup, origin=origin.tenant
            )
    asked = str(context.annotations.get(RESTORE) or "")
    return _Wish(kind=KIND, asked=asked, goal=asked, origin=None)


def _restoring(context: Context, wish: _Wish) -> Restoring:
    """Raises InvalidInput for an origin that the cell does not have."""
    assert context.spec is not None
    source = None
    if wish.origin is not None:
        source = context.fleet.specs.of(context.fleet.record(wish.origin))
    return Restoring(
        context.fleet,
        context.spec,
        origin=source,
        progress=context.progress,
        stopping=context.cancelled.is_set,
    )


def _told(ended: Restoration) -> str:
    if ended.problem:
        return f"{ended.goal} was not brought back, what was there is untouched: {ended.problem}"
    saved = f"; what was there before is kept as {ended.saved} for a week" if ended.saved else ""
    if ended.unsaved:
        saved = f"; what was there before could not be dumped ({ended.unsaved}), its tables stay until the next restore"
    if ended.left_out:
        saved += f"; {ended.left_out} did not come with it: docs/backups.md tells why"
    return f"{ended.backup} was brought back on {ended.ended_at:%Y-%m-%d %H:%M UTC}{saved}"


def _condition(status: Status, reason: Reason, message: str, asked: str) -> Condition:
    return Condition(
        type=ConditionType.RESTORED, status=status, reason=reason, message=f"{message} (asked for: {asked})"
    )
