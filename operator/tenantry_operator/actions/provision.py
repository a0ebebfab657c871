"""Runs a tenant's stack until it is what the Tenant object says. The engine's own journal makes it resumable."""

from __future__ import annotations

from tenantry.engine.interface import Event, Op, ResourceFinished, RunStarted
from tenantry.tenancy.conditions import Condition
from tenantry.tenancy.errors import RunFailed
from tenantry.tenancy.lifecycle import Claim, Verb
from tenantry.tenancy.resolving import wish
from tenantry.tenancy.scaling import by_cpu, scalable
from tenantry.tenancy.spec import TenantSpec
from tenantry_operator.contract import Context, Outcome
from tenantry_operator.replicas import scale
from tenantry_operator.tracing import phases

__all__ = ["Provision"]


class Provision:
    verb = Verb.PROVISION

    def claim(self, context: Context) -> Claim | None:
        """The record says what the last successful run was asked for: where that is what is asked for now, nothing is
        run, whatever version of Tenantry asks."""
        if context.file is None or context.spec is None or context.deleting:
            return None
        if context.record is None or context.record.finished_at is None:
            return Claim(verb=self.verb, why="its stack has not been made yet", at=context.now)
        if context.record.wish != wish(context.file.tenant, context.spec):
            return Claim(verb=self.verb, why="its stack was made for an earlier wish", at=context.now)
        return None

    def act(self, context: Context) -> Outcome:
        file, spec = context.file, context.spec
        assert file is not None
        assert spec is not None
        stack, _ = context.fleet.stack_of(spec)
        context.cancelled.then(lambda: context.fleet.engine.stop(stack))
        total = done = 0

        def tell(event: Event) -> None:
            nonlocal total, done
            if isinstance(event, RunStarted):
                total = event.total
            elif isinstance(event, ResourceFinished) and event.error is None and event.change.op is not Op.SAME:
                done += 1
                context.progress(f"{done} of {total} resources done, last {event.change.op} {event.change.name}")

        if context.cancelled.is_set():
            raise RunFailed(f"stopped before it began: {context.cancelled.why}", where=context.name)
        context.fleet.check_fits(file, spec)
        lower_to_maxima(context, spec)
        uid = str(context.body["metadata"]["uid"])
        result = context.fleet.apply(file, spec, uid=uid, wish=wish(file.tenant, spec), on_event=phases(tell))
        changed = ", ".join(f"{count} {op}" for op, count in result.counts.items() if count and op is not Op.SAME)
        return Outcome(sentence=f"its stack is as asked for ({changed or 'no change'}) after {result.seconds:.1f} s")

    def conditions(self, context: Context) -> tuple[Condition, ...]:
        del context
        return ()


def lower_to_maxima(context: Context, spec: TenantSpec) -> None:
    """Modules that have more than they may have from now on: fewer pods first, so that those that stay find room. One
    that has an autoscaler would only be raised again by it, and is lowered when that has been changed or taken away."""
    stands = context.fleet.specs.in_force(context.record) if context.record is not None else None
    owned = {one.name for one in scalable(stands) if not by_cpu(stands, one)} if stands is not None else set()
    wanted = {one.name: one.wanted for one in context.modules or ()}
    for module in scalable(spec):
        if module.name in owned and wanted.get(module.name, 0) > module.replicas_max:
            context.progress(f"lowering {module.name} to {module.replicas_max}")
            scale(context.kubernetes, context.namespace, module.name, module.replicas_max)
