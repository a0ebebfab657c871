"""Brings a tenant to the release that its file pins, its annotation asks for, or a roll-out has in store for it.

The steps and their journal are `tenantry.releasing`'s. Here it is decided when to begin, and told what comes of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tenantry.fleet.programs import tenant_stack
from tenantry.releasing import Releasing
from tenantry.tenancy import release as journal
from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status
from tenantry.tenancy.errors import InvalidInput
from tenantry.tenancy.lifecycle import Claim, Stage, Verb
from tenantry.tenancy.release import told
from tenantry.tenancy.spec import Activity
from tenantry.tenancy.upgrading import Wanted, check_path, due, standing_failure, wanted
from tenantry.tenancy.window import opens_at, parse_window
from tenantry_operator.contract import Context, Outcome, waits_for_a_hand

__all__ = ["Release"]


class Release:
    verb = Verb.RELEASE

    def claim(self, context: Context) -> Claim | None:
        last = context.fleet.releases.get(context.namespace)
        if last is not None and last.under_way:
            return Claim(verb=self.verb, why=told(last), at=context.now)
        if not _can_begin(context):
            return None
        if last is not None and last.is_open and _pins_another(context, last):
            return None  # a roll-out asked for it before the file pinned: it withdraws that
        if last is not None and last.is_open:
            return Claim(verb=self.verb, why=told(last), at=_begins_at(context, at_once=last.at_once))
        try:
            want = _wanted(context, last)
        except InvalidInput as error:  # acting says so with all that a user needs to know
            return Claim(verb=self.verb, why=error.message, at=context.now)
        if want is None or context.record is None:
            return None
        if not due(want, context.record.running, last):
            answered = last is not None and last.failed and standing_failure(want, context.record.running, last) is None
            return Claim(verb=self.verb, why="a failed release was dismissed", at=context.now) if answered else None
        why = f"it is to run {want.version} and runs {context.record.running}"
        return Claim(verb=self.verb, why=why, at=_begins_at(context, at_once=want.at_once))

    def act(self, context: Context) -> Outcome:
        releasing = Releasing(context.fleet)
        last = context.fleet.releases.get(context.namespace)
        if last is None or not last.is_open:
            want = _wanted(context, last)
            if want is None or context.record is None or not due(want, context.record.running, last):
                releasing.dismiss(context.name)
                return Outcome(sentence="a failed release was dismissed")
            releasing.request(context.name, want.version, by=want.by, request=want.request, at_once=want.at_once)
        stack = tenant_stack(context.name, context.incarnation, context.fleet.backend)
        context.cancelled.then(lambda: context.fleet.engine.stop(stack))
        advanced = releasing.advance(context.name, progress=context.progress, cancelled=context.cancelled)
        if advanced.error is not None:
            raise advanced.error
        return Outcome(sentence=advanced.sentence, again_after=advanced.again_after)

    def conditions(self, context: Context) -> tuple[Condition, ...]:
        record = context.record
        if record is None or record.finished_at is None or context.deleting:
            return ()
        last = context.fleet.releases.get(context.namespace)
        if last is not None and last.is_open and last.step is not None:
            reason = Reason.RELEASING if last.going_back is None else Reason.GOING_BACK
            return (_released(Status.FALSE, reason, _standing(last)),)
        try:
            want = _wanted(context, last)
        except InvalidInput:
            return ()  # Stalled says so
        if want is None:
            return ()
        failed = standing_failure(want, record.running, last)
        if failed is not None:
            return _failed(context, failed)
        target = last.after if last is not None and last.is_open else want.version
        if target == record.running:
            return (_released(Status.TRUE, Reason.RUNS_AS_WANTED, f"runs {record.running}"),)
        at = _begins_at(context, at_once=last.at_once if last is not None and last.is_open else want.at_once)
        if at <= context.now:
            return (_released(Status.FALSE, Reason.RELEASING, f"runs {record.running}; {target} begins now"),)
        message = f"runs {record.running}; {target} is wanted and begins at {at:%Y-%m-%d %H:%M UTC}"
        return (_released(Status.FALSE, Reason.WAITS_FOR_WINDOW, message),)

    def status(self, context: Context) -> dict[str, Any]:
        last = context.fleet.releases.get(context.namespace)
        good = context.record.last_good if context.record is not None else None
        found = {"lastGoodRelease": good.release} if good is not None else {}
        return found | ({"upgradeHeeded": last.request} if last is not None and last.request else {})


def _can_begin(context: Context) -> bool:
    """A tenant that is there, and stays, and whose workload stands."""
    record = context.record
    if context.file is None or record is None or record.finished_at is None or context.deleting:
        return False
    return record.activity != Activity.CLOSED and context.expiry.stage not in (Stage.EXPIRED, Stage.OVERDUE)


def _pins_another(context: Context, last: journal.Release) -> bool:
    if context.file is None or not last.by.startswith("rollout "):
        return False
    pinned = context.file.tenant.spec
    return pinned.release not in (None, last.after.release) or (
        pinned.template_version not in (None, last.after.template_version)
    )


def _wanted(context: Context, last: journal.Release | None) -> Wanted | None:
    """Raises InvalidInput for a wish that makes no sense."""
    if context.file is None or context.record is None:
        return None
    tenant, catalogue, running = context.file.tenant, context.fleet.catalogue, context.record.running
    want = wanted(tenant, catalogue, running, heeded=last.request if last is not None else "")
    if due(want, running, last):  # what there is no way to is said at once, not when the window opens
        check_path(tenant.spec.workload, catalogue, running, want.version)
    return want


def _begins_at(context: Context, *, at_once: bool) -> datetime:
    assert context.file is not None
    window = context.file.tenant.spec.maintenance_window
    return context.now if at_once or window is None else opens_at(parse_window(window), context.now)


def _standing(last: journal.Release) -> str:
    return f"{told(last)}: step {last.step}" + (f", because of {last.going_back}" if last.going_back else "")


def _failed(context: Context, failed: journal.Release) -> tuple[Condition, ...]:
    message = (
        f"the release {failed.after} failed and is not tried again by itself: it {told(failed)}. Mend the cause and "
        f"ask again (`tenantry tenant upgrade {context.name}`), or want what runs (`--to {failed.before.release}`)"
    )
    return (
        _released(Status.FALSE, Reason.RELEASE_FAILED, message),
        *waits_for_a_hand(Reason.RELEASE_FAILED, message),
    )


def _released(status: Status, reason: Reason, message: str) -> Condition:
    return Condition(type=ConditionType.RELEASED, status=status, reason=reason, message=message)
