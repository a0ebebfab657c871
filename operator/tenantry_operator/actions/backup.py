"""Backups: taken when their schedule or somebody asks, and proven by bringing the last one back into a scratch schema.

Where only a pod can take them, the schedule is the tenant's own CronJob; what it took is only looked for.
"""

from __future__ import annotations

from datetime import timedelta

from tenantry.backup.stopping import Stopped
from tenantry.recovery.backing_up import BackingUp, backups_of
from tenantry.recovery.identity import holds_data
from tenantry.recovery.taken import Begun, taken_here
from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status
from tenantry.tenancy.lifecycle import Claim, Stage, Verb
from tenantry.tenancy.recovery import BACKUP, Backups, Due, Proof, Task, due, next_backup, overdue
from tenantry.tenancy.spec import TenantSpec
from tenantry_components.module import own_schedule
from tenantry_operator.contract import Context, Outcome

__all__ = ["Backup"]

_LOOK_AGAIN = timedelta(seconds=10)
"""While the tenant's own Job runs, or after somebody had us stop."""
_LOOK_AFTER = timedelta(minutes=40)
"""After the time of the tenant's own CronJob: it has a deadline, and a store takes its time."""


class Backup:
    verb = Verb.BACKUP

    def claim(self, context: Context) -> Claim | None:
        found = _due(context)
        if found is None:
            return None
        at = found.at
        by_its_job = context.spec is not None and not taken_here(context.spec)
        if found.task is Task.TAKE and not _asked(context) and by_its_job:
            at += _LOOK_AFTER
        return Claim(verb=self.verb, why=found.why, at=at)

    def act(self, context: Context) -> Outcome:
        found, spec = _due(context), context.spec
        if found is None or spec is None:
            return Outcome(sentence="no backup is due any more")
        context.progress(found.why)
        try:
            return self._take_or_prove(context, found, spec)
        except Begun as begun:
            return Outcome(sentence=begun.message, again_after=_LOOK_AGAIN)
        except Stopped:
            return Outcome(sentence=f"stopped: {context.cancelled.why}; begins anew later", again_after=_LOOK_AGAIN)

    def _take_or_prove(self, context: Context, found: Due, spec: TenantSpec) -> Outcome:
        backing_up = BackingUp(spec, context.operations, stopping=context.cancelled.is_set)
        if found.task is Task.PROVE:
            return Outcome(sentence=_proved(backing_up.prove()))
        asked = _asked(context)
        if not asked and not taken_here(spec):
            kept = backing_up.look()
            return Outcome(sentence=f"its newest backup is {kept.id}" if kept else "its store holds no backup yet")
        kept = backing_up.take(asked=asked)
        return Outcome(sentence=f"backup {kept.id} is kept, {kept.size} bytes")

    def conditions(self, context: Context) -> tuple[Condition, ...]:
        spec, record = context.spec, context.record
        if spec is None or record is None or record.finished_at is None or context.deleting or not holds_data(spec):
            return ()
        if not spec.backup.enabled:
            return (_condition(Status.FALSE, Reason.BACKUPS_OFF, "its file switches backups off"),)
        backups = backups_of(context.operations)
        schedule = own_schedule(spec, spec.backup.schedule)
        if backups.last is None:
            first = next_backup(schedule, record.created_at)
            return (_condition(Status.FALSE, Reason.NO_BACKUP_YET, f"the first is due on {first:%Y-%m-%d %H:%M UTC}"),)
        message = _told(backups)
        if overdue(backups, schedule=schedule, made_at=record.created_at, now=context.now):
            message = f"the last scheduled backup did not come; {message}"
            return (_condition(Status.FALSE, Reason.BACKUP_OVERDUE, message),)
        if backups.proof is not None and backups.proof.id == backups.last.id and backups.proof.problem:
            return (_condition(Status.FALSE, Reason.BACKUP_UNPROVEN, message),)
        return (_condition(Status.TRUE, Reason.BACKUP_KEPT, message),)


def _due(context: Context) -> Due | None:
    spec, record = context.spec, context.record
    if spec is None or record is None or record.finished_at is None or context.deleting:
        return None
    if not spec.backup.enabled or not holds_data(spec) or context.expiry.stage in (Stage.EXPIRED, Stage.OVERDUE):
        return None
    return due(
        backups_of(context.operations),
        asked=str(context.annotations.get(BACKUP) or ""),
        schedule=own_schedule(spec, spec.backup.schedule),
        made_at=record.created_at,
        name=context.name,
    )


def _asked(context: Context) -> str:
    """The wish that has not been served yet, "" for none."""
    wish = str(context.annotations.get(BACKUP) or "")
    return wish if wish != backups_of(context.operations).asked else ""


def _proved(proof: Proof) -> str:
    if proof.problem:
        return f"backup {proof.id} does not come back: {proof.problem}"
    return f"backup {proof.id} came back whole, {proof.rows} rows"


def _told(backups: Backups) -> str:
    """Times, no ages: what says the same is not written again."""
    last, proven, proof = backups.last, backups.proven, backups.proof
    assert last is not None
    said = [f"last backup {last.id} of {last.taken_at:%Y-%m-%d %H:%M UTC}"]
    if backups.asked:
        said[0] += f" (asked for: {backups.asked}, answered by {backups.answer})"
    if proof is not None and proof.problem:
        said.append(f"{proof.id} did not come back when it was tried: {proof.problem}")
    if proven is not None:
        said.append(f"the last proof by a restore is of {proven.at:%Y-%m-%d %H:%M UTC}, of backup {proven.id}")
    else:
        said.append("none has been proven by a restore yet")
    return "; ".join(said)


def _condition(status: Status, reason: Reason, message: str) -> Condition:
    return Condition(type=ConditionType.BACKED_UP, status=status, reason=reason, message=message)
