"""Deletes the Tenant object of a test environment whose date and grace are over; the rest is deprovisioning."""

from __future__ import annotations

from datetime import timedelta

from tenantry.tenancy.conditions import Condition
from tenantry.tenancy.lifecycle import Claim, Stage, Verb
from tenantry_operator.contract import Context, Outcome
from tenantry_operator.objects import Tenants

__all__ = ["Expire"]


class Expire:
    verb = Verb.DEPROVISION

    def claim(self, context: Context) -> Claim | None:
        # One that never was has not expired: its date is a mistake, which it is told (`rules.check_life`).
        if context.record is not None and context.expiry.stage is Stage.OVERDUE and not context.deleting:
            return Claim(verb=self.verb, why="it has expired and its grace is over", at=context.now)
        return None

    def act(self, context: Context) -> Outcome:
        Tenants(context.kubernetes).delete(context.body)
        return Outcome(sentence="it has expired and its grace is over: deleted", again_after=timedelta(seconds=30))

    def conditions(self, context: Context) -> tuple[Condition, ...]:
        del context
        return ()
