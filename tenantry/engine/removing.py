"""Removing: which recorded resources and forgotten objects are to go. Reads; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.engine import urn
from tenantry.engine.checkpoint import Recorded
from tenantry.engine.dynamic_resources import DynamicResources
from tenantry.engine.effects import kubernetes_effect
from tenantry.engine.interface import Change, Effect, Op
from tenantry.engine.kubernetes_resources import Reference, identity_of, is_stray, reference_of
from tenantry.engine.plan import Step
from tenantry.engine.properties import plain
from tenantry.engine.reach import Reach
from tenantry.tenancy.errors import Conflict

__all__ = ["Remover"]

_OPENS = frozenset({"Ingress", "NetworkPolicy", "Role", "RoleBinding"})
_PASSING = frozenset({"Job", "Pod"})
"""Work that comes and goes, of the operator's own too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remover:
    """lift_protection: also what is protected or retained."""

    reach: Reach
    dynamic: DynamicResources
    live: Mapping[Reference, Mapping[str, Any]]
    lift_protection: bool = False

    def delete(self, one: Recorded, kept: set[Reference]) -> Step | None:
        """kept: places that a wanted resource now has. None where there is nothing to delete."""
        inputs = self.reach.opened(one.raw.get("inputs") or {})
        reference = reference_of(plain(inputs)) if one.is_kubernetes else None
        found = self.live.get(reference) if reference is not None else None
        if one.pending and reference is not None and found is None:
            return None
        retained = (one.retain_on_delete and not self.lift_protection) or (reference is not None and reference in kept)
        if one.protect and not self.lift_protection and not one.is_logical:
            raise Conflict(
                f"{urn.type_of(one.urn)} {urn.name_of(one.urn)} is protected and would be deleted",
                where=one.urn,
                hint="deprovision the tenant, or keep the resource in the program",
            )
        if one.is_logical or retained:
            effect = Effect.NONE
        elif reference is not None:
            effect = kubernetes_effect(Op.DELETE, plain(inputs))
        else:
            effect = self.dynamic.effect_without(inputs, kept=one.protect or one.retain_on_delete)
        change = Change(
            urn=one.urn,
            type=one.type,
            name=urn.name_of(one.urn),
            op=Op.DELETE,
            effect=effect,
            reason="it is kept and only forgotten" if retained and not one.is_logical else "",
        )
        return Step(
            change=change,
            wanted=None,
            recorded=one,
            inputs=inputs,
            reference=reference,
            live=found,
            retained=retained,
            provider=self.reach.provider_of(one) if reference is not None else None,
        )

    def leftovers(self, known: set[Reference], steps: Iterable[Step]) -> list[Step]:
        """Objects of this very tenant and incarnation, made by this engine, that neither program nor state knows."""
        identities = _identities(steps)
        found = []
        for reference, one in self.live.items():
            if reference in known or not is_stray(one, identities):
                continue
            type_ = f"kubernetes:{reference.api_version}:{reference.kind}"
            found.append(
                Step(
                    change=Change(
                        urn=urn.make(stack="", project="", parent=None, type_=type_, name=reference.name),
                        type=type_,
                        name=reference.name,
                        op=Op.DELETE,
                        effect=kubernetes_effect(Op.DELETE, one),
                        reason="left over in the cluster",
                    ),
                    wanted=None,
                    recorded=None,
                    inputs=one,
                    reference=reference,
                    live=one,
                    provider=self.reach.first_provider,
                )
            )
        return found

    def strangers(self, known: set[Reference], steps: Iterable[Step]) -> tuple[Change, ...]:
        """Objects that carry the identity of the stack's own without having been made by this engine, and whatever
        opens its namespaces. Nobody but who made them knows what they are for."""
        steps = tuple(steps)
        identities = _identities(steps)
        own = {
            step.reference.name for step in steps if step.reference is not None and step.reference.kind == "Namespace"
        }
        found = []
        for reference, one in self.live.items():
            opens = reference.kind in _OPENS and reference.namespace in own
            if (
                reference in known
                or reference.kind in _PASSING
                or one["metadata"].get("ownerReferences")
                or not (opens or identity_of(one) in identities)
            ):
                continue
            type_ = f"kubernetes:{reference.api_version}:{reference.kind}"
            found.append(
                Change(
                    urn=urn.make(stack="", project="", parent=None, type_=type_, name=reference.name),
                    type=type_,
                    name=reference.name,
                    op=Op.READ,
                    reason="somebody else made it",
                )
            )
        return tuple(found)


def _identities(steps: Iterable[Step]) -> set[tuple[str, str] | None]:
    found = {identity_of(plain(dict(step.inputs))) for step in steps if step.reference is not None}
    return found - {None}
