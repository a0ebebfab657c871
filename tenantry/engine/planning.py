"""Planning: from what is wanted, recorded and alive to steps in waves. Reads; changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tenantry.engine.deciding import Decider
from tenantry.engine.desired import Desired, DesiredResource
from tenantry.engine.dynamic_resources import DynamicResources
from tenantry.engine.kubernetes_resources import reference_of
from tenantry.engine.plan import Plan, Step
from tenantry.engine.reach import Reach
from tenantry.engine.removing import Remover
from tenantry.engine.waves import deletes_in_waves, in_waves

__all__ = ["Planner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """threads: for what waits for others (providers, dry runs)."""

    reach: Reach
    dynamic: DynamicResources
    threads: ThreadPoolExecutor

    def plan(self, desired: Desired) -> Plan:
        recorded = self.reach.recorded
        wanted = {one.urn: one for one in desired.resources}
        self.reach.connect(desired.resources)
        references = {one.urn: reference_of(one.inputs) for one in desired.resources if one.is_kubernetes}
        gone = [one for name, one in recorded.items() if name not in wanted]
        old_references = self.reach.references()
        live = self.reach.observe(references, old_references, wanted)
        claimed = set(old_references.values())
        decider = Decider(reach=self.reach, dynamic=self.dynamic)

        def decide(one: DesiredResource) -> Step:
            if one.is_logical:
                return decider.logical(one)
            if one.is_dynamic:
                return decider.of_dynamic(one)
            reference = references[one.urn]
            return decider.kubernetes(one, reference, live.get(reference), reference in claimed)

        # Only providers and dry runs wait for others; the rest is decided at once.
        slow = [one for one in desired.resources if one.is_dynamic]
        steps = dict(zip((one.urn for one in slow), self.threads.map(decide, slow), strict=True))
        for one in desired.resources:
            if one.urn not in steps:
                steps[one.urn] = decide(one)
        asking = [step for step in steps.values() if step.ask is not None]
        for answer in self.threads.map(decider.ask, asking):
            steps[answer.change.urn] = answer
        upserts = [steps[one.urn] for one in desired.resources]
        kept = set(references.values())
        remover = Remover(reach=self.reach, dynamic=self.dynamic, live=live)
        deletes = [step for one in gone if (step := remover.delete(one, kept)) is not None]
        leftovers = remover.leftovers(kept | claimed, upserts)
        known = kept | claimed | {step.reference for step in leftovers if step.reference is not None}
        return Plan(
            upserts=in_waves(upserts),
            deletes=deletes_in_waves([*deletes, *leftovers]),
            strangers=remover.strangers(known, upserts),
        )

    def plan_destroy(self, *, lift_protection: bool) -> Plan:
        """Everything recorded goes, and whatever else of this stack still lives in its own namespaces."""
        self.reach.connect(())
        references = self.reach.references()
        live = self.reach.observe({}, references, {})
        remover = Remover(reach=self.reach, dynamic=self.dynamic, live=live, lift_protection=lift_protection)
        steps = [step for one in self.reach.recorded.values() if (step := remover.delete(one, set())) is not None]
        steps += remover.leftovers(set(references.values()), steps)
        return Plan(deletes=deletes_in_waves(steps))
