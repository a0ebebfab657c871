"""Settling: bring the record in line with what lives, without changing anything that lives (refresh, recover)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tenantry.engine import urn
from tenantry.engine.checkpoint import Recorded, now
from tenantry.engine.dynamic_resources import DynamicResources
from tenantry.engine.interface import Change, Op
from tenantry.engine.kubernetes_resources import field_manager
from tenantry.engine.projecting import kubernetes_outputs
from tenantry.engine.properties import Secret, contains_secret, matches, plain, pruned
from tenantry.engine.reach import Reach
from tenantry.engine.sealing import Sealer

__all__ = ["refreshed", "settled"]


def refreshed(
    reach: Reach,
    dynamic: DynamicResources,
    sealer: Sealer,
    recorded: Mapping[str, Recorded],
    threads: ThreadPoolExecutor,
) -> tuple[dict[str, Recorded], tuple[Change, ...]]:
    """Every resource as it is now. What was changed outside shows in its inputs too, so that the next run mends it."""
    reach.connect(())

    def look(one: Recorded) -> Recorded | None:
        if one.is_kubernetes:
            return _kubernetes(reach, sealer, one)
        if one.is_dynamic:
            return _dynamic(dynamic, sealer, one)
        return one

    seen = dict(zip(recorded, threads.map(look, recorded.values()), strict=True))
    states = {name: one for name, one in seen.items() if one is not None}
    changes = [_change(recorded[name], Op.DELETE, "it is gone") for name, one in seen.items() if one is None]
    changes += [
        _change(one, Op.UPDATE, "it was changed outside")
        for name, one in states.items()
        if one.raw.get("inputs") != recorded[name].raw.get("inputs")
    ]
    return _without_dangling(states), tuple(changes)


def settled(
    reach: Reach,
    dynamic: DynamicResources,
    sealer: Sealer,
    recorded: Mapping[str, Recorded],
    threads: ThreadPoolExecutor,
    *,
    doubtful: Set[str],
) -> tuple[dict[str, Recorded], tuple[Change, ...]]:
    """The record with what a killed run began: kept where it exists, dropped where it does not. doubtful: URNs of
    what it was changing or deleting: taken as it is now, so that the next run sees the rest of that change."""
    reach.connect(())

    def look(one: Recorded) -> Recorded | None:
        if not one.pending and one.urn not in doubtful:
            return one
        if one.is_kubernetes:
            return _unmarked(_kubernetes(reach, sealer, one))
        if one.is_dynamic:
            return _unmarked(_dynamic(dynamic, sealer, one))
        # A provider lives in the state alone: without an id it was never made, and the CLI cannot go on with it.
        return None if one.pending and one.custom and not one.id else Recorded(one.raw)

    seen = dict(zip(recorded, threads.map(look, recorded.values()), strict=True))
    states = {name: one for name, one in seen.items() if one is not None}
    changes = [
        _change(one, Op.CREATE, "a run that was cut short made it")
        for name, one in states.items()
        if recorded[name].pending
    ]
    changes += [
        _change(one, Op.DELETE, "a run that was cut short deleted it")
        for name, one in recorded.items()
        if not one.pending and name not in states
    ]
    changes += [
        _change(one, Op.UPDATE, "a run that was cut short changed it")
        for name, one in states.items()
        if not recorded[name].pending and one.raw.get("inputs") != recorded[name].raw.get("inputs")
    ]
    return _without_dangling(states), tuple(changes)


def _kubernetes(reach: Reach, sealer: Sealer, one: Recorded) -> Recorded | None:
    inputs = sealer.open(one.raw.get("inputs") or {})
    live = reach.cluster_of(one).get(reach.reference_of(one))
    if live is None or live["metadata"].get("deletionTimestamp"):
        return None
    before = one.raw.get("outputs") or {}
    if (before.get("metadata") or {}).get("resourceVersion") == live["metadata"].get("resourceVersion"):
        return Recorded(one.raw)
    if not one.pending and not matches(pruned(sealer.open(before), inputs), pruned(live, inputs)):
        inputs = _veiled(pruned(live, inputs), inputs)
    outputs = kubernetes_outputs(
        live,
        inputs,
        manager=str(before.get("__fieldManager") or field_manager(one.urn)),
        initial_api_version=before.get("__initialApiVersion"),
    )
    return _updated(one, sealer, inputs, outputs, one.id)


def _dynamic(dynamic: DynamicResources, sealer: Sealer, one: Recorded) -> Recorded | None:
    inputs = sealer.open(one.raw.get("inputs") or {})
    outputs = sealer.open(one.raw.get("outputs") or {}) or inputs
    made = dynamic.read(f"{one.type} {urn.name_of(one.urn)}", one.id, outputs)
    if made is None:
        return None
    for key in dynamic.drifted(inputs, made):
        value = made.outputs[key]
        inputs[key] = Secret(plain(value)) if contains_secret(inputs[key]) else value
    return _updated(one, sealer, inputs, made.outputs, made.id)


def _updated(
    one: Recorded, sealer: Sealer, inputs: Mapping[str, Any], outputs: Mapping[str, Any], id_: str
) -> Recorded:
    raw = {
        **one.raw,
        "id": id_,
        "inputs": sealer.seal(dict(inputs), one.raw.get("inputs")),
        "outputs": sealer.seal(dict(outputs), one.raw.get("outputs")),
    }
    return Recorded(one.raw) if raw == one.raw else Recorded({**raw, "modified": now()})


def _unmarked(one: Recorded | None) -> Recorded | None:
    """Without the CLI's note that it deleted the resource to make it anew: it stands again, or still."""
    if one is None or "pendingReplacement" not in one.raw:
        return one
    return Recorded({key: value for key, value in one.raw.items() if key != "pendingReplacement"})


def _veiled(value: Any, shape: Any) -> Any:
    if isinstance(shape, Secret):
        return Secret(plain(value))
    if isinstance(value, dict) and isinstance(shape, dict):
        return {key: _veiled(item, shape.get(key)) for key, item in value.items()}
    return value


def _without_dangling(states: Mapping[str, Recorded]) -> dict[str, Recorded]:
    """References to what is gone go too, as Pulumi's refresh does it."""
    clean = {}
    for name, one in states.items():
        raw = dict(one.raw)
        if raw.get("dependencies"):
            raw["dependencies"] = [reference for reference in raw["dependencies"] if reference in states]
        if raw.get("propertyDependencies"):
            raw["propertyDependencies"] = {
                key: [reference for reference in urns or () if reference in states]
                for key, urns in raw["propertyDependencies"].items()
            }
        for key in ("parent", "deletedWith"):
            if raw.get(key) and raw[key] not in states:
                del raw[key]
        clean[name] = Recorded(raw)
    return clean


def _change(one: Recorded, op: Op, reason: str) -> Change:
    return Change(urn=one.urn, type=one.type, name=urn.name_of(one.urn), op=op, reason=reason)
