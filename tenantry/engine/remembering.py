"""Remembering: what a stack should be by its record alone, without running its program. Pure.

Its last finished run decided it; a newer version of the program has no say. Used to find and mend what was changed
behind the engine's back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tenantry.engine import urn
from tenantry.engine.checkpoint import Recorded
from tenantry.engine.desired import CustomTimeouts, Desired, DesiredResource
from tenantry.engine.dynamic_resources import DynamicResources
from tenantry.engine.effects import kubernetes_effect
from tenantry.engine.interface import Effect, Op
from tenantry.engine.plan import Plan, Step
from tenantry.engine.sealing import Sealer

__all__ = ["remembered", "with_losses", "without_losses"]


def remembered(recorded: Mapping[str, Recorded], sealer: Sealer) -> Desired:
    """The recorded resources as if a program had just asked for them, in the record's order."""
    resources = tuple(_wanted(one, sealer) for one in recorded.values())
    return Desired(
        resources=resources,
        outputs={one.urn: sealer.open(one.raw.get("outputs") or {}) for one in recorded.values() if not one.custom},
        root=next((one.urn for one in resources if one.type == urn.ROOT_TYPE), ""),
    )


def with_losses(plan: Plan, dynamic: DynamicResources) -> Plan:
    """The plan with every step marked that could only pretend to mend: what is gone held data or keys, and an empty
    one in its place would look sound."""
    upserts = tuple(
        replace(step, change=replace(step.change, effect=Effect.DATA_LOSS)) if _is_loss(step, dynamic) else step
        for step in plan.upserts
    )
    return replace(plan, upserts=upserts)


def without_losses(plan: Plan) -> Plan:
    """The plan without what is lost and what stands on it; the rest can be mended."""
    left_out = {step.change.urn for step in plan.upserts if step.change.effect is Effect.DATA_LOSS}
    lost_namespaces = {
        step.reference.name
        for step in plan.upserts
        if step.change.urn in left_out and step.reference is not None and step.reference.kind == "Namespace"
    }
    kept: list[Step] = []
    for step in plan.upserts:  # in the record's order: each after what it refers to
        references = step.wanted.references if step.wanted is not None else ()
        inside = step.reference is not None and step.reference.namespace in lost_namespaces
        if step.change.urn in left_out or inside or left_out.intersection(references):
            left_out.add(step.change.urn)
        else:
            kept.append(step)
    return replace(plan, upserts=tuple(kept))


def _is_loss(step: Step, dynamic: DynamicResources) -> bool:
    if step.wanted is None or step.is_logical or step.change.op not in (Op.CREATE, Op.UPDATE):
        return False
    if step.reference is not None:
        return step.change.op is Op.CREATE and kubernetes_effect(Op.DELETE, step.inputs) is Effect.DATA_LOSS
    return (
        dynamic.effect_without(step.inputs, kept=step.wanted.protect or step.wanted.retain_on_delete)
        is Effect.DATA_LOSS
    )


def _wanted(one: Recorded, sealer: Sealer) -> DesiredResource:
    raw = one.raw
    timeouts: Mapping[str, Any] = raw.get("customTimeouts") or {}
    inputs: dict[str, Any] = sealer.open(raw.get("inputs") or {})
    return DesiredResource(
        urn=one.urn,
        type=one.type,
        name=urn.name_of(one.urn),
        custom=one.custom,
        id=one.id,
        inputs=inputs,
        parent=one.parent,
        dependencies=tuple(raw.get("dependencies") or ()),
        property_dependencies={key: tuple(urns or ()) for key, urns in (raw.get("propertyDependencies") or {}).items()},
        provider=str(raw.get("provider") or ""),
        protect=one.protect,
        retain_on_delete=one.retain_on_delete,
        deleted_with=raw.get("deletedWith") or None,
        ignore_changes=tuple(raw.get("ignoreChanges") or ()),
        replace_on_changes=tuple(raw.get("replaceOnChanges") or ()),
        additional_secret_outputs=tuple(raw.get("additionalSecretOutputs") or ()),
        aliases=tuple(raw.get("aliases") or ()),
        timeouts=CustomTimeouts(**{key: float(value) for key, value in timeouts.items()}) if timeouts else None,
    )
