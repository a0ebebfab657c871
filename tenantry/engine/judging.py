"""Judging: what is to be done about one resource. Pure.

Invariants: the same inputs and the same live object give SAME; what was begun and may not exist is never SAME; only
an object's own fields count, those that others write into it (status, defaults) do not, but where they open or close
what the object guards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.engine.effects import WHOLE, kubernetes_effect, moves, replaces
from tenantry.engine.interface import Effect, Op
from tenantry.engine.properties import Secret, contains_secret, differing_paths, matches, plain, pruned
from tenantry.engine.spelling import alike

__all__ = ["Verdict", "after_dry_run", "ignoring", "judge_kubernetes", "judge_logical"]

_SPELLED = "it was recorded in another spelling"
_OWNED_BY_OTHERS = {"HorizontalPodAutoscaler": ("minReplicas", "maxReplicas")}
"""Fields of `spec` that we send first and others write then, by kind: a campaign narrows what an autoscaler may choose.
What we want of them counts against what we wanted before, never against what is there."""
_COMMON = ("apiVersion", "kind", "metadata", "status")
_VOLATILE = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """ask: only the API server can tell (server-side apply as a dry run); op is then the guess without it."""

    op: Op
    effect: Effect = Effect.NONE
    paths: tuple[str, ...] = ()
    reason: str = ""
    ask: bool = False


def judge_logical(wanted: Mapping[str, Any], recorded: Mapping[str, Any] | None) -> Verdict:
    """Components and providers live in state only."""
    if recorded is None:
        return Verdict(op=Op.CREATE)
    paths = tuple(differing_paths(recorded, dict(wanted)))
    return Verdict(op=Op.UPDATE, paths=paths) if paths else Verdict(op=Op.SAME)


def judge_kubernetes(
    wanted: Mapping[str, Any],
    *,
    recorded: Mapping[str, Any] | None,
    outputs: Mapping[str, Any],
    live: Mapping[str, Any] | None,
    unfinished: bool = False,
    replace_on: tuple[str, ...] = (),
) -> Verdict:
    """recorded, outputs: of the checkpoint, None and {} where it has none. live: in the cluster, None where absent.
    unfinished: the last run saw it fail to become ready. replace_on: paths that the program wants to replace on."""
    if live is None:
        moved = moves(differing_paths(recorded, dict(wanted))) if recorded is not None else ()
        if moved:  # nothing is at the new place, and the object at the old one is to go
            effect = kubernetes_effect(Op.REPLACE, wanted)
            return Verdict(op=Op.REPLACE, effect=effect, paths=moved, reason=_fixed(moved))
        reason = "" if recorded is None else "it is gone from the cluster"
        return Verdict(op=Op.CREATE, reason=reason)
    if recorded is None:
        return Verdict(op=Op.CREATE, reason="a run that was cut short began it", ask=True)
    paths = tuple(differing_paths(recorded, dict(wanted)))
    if paths and not alike(recorded, wanted):
        forced = replaces(str(wanted.get("kind")), paths) or tuple(
            path for path in paths if any(path == one or path.startswith(f"{one}.") for one in replace_on)
        )
        op = Op.REPLACE if forced else Op.UPDATE
        reason = _fixed(forced) if forced else ""
        effect = kubernetes_effect(op, wanted, paths)
        return Verdict(op=op, effect=effect, paths=paths, reason=reason, ask=not forced)
    if unfinished:
        return Verdict(op=Op.UPDATE, reason="it was not ready when the last run ended")
    if paths:
        return Verdict(op=Op.UPDATE, paths=paths, reason=_SPELLED, ask=True)
    if _version(live) == _version(outputs):
        return Verdict(op=Op.SAME)
    own = _own(wanted)
    before, after = pruned(outputs, own), pruned(live, own)
    if matches(before, after):
        added = _added(outputs, live) if wanted.get("kind") in WHOLE else ()
        if not added:
            return Verdict(op=Op.SAME)
        effect = kubernetes_effect(Op.UPDATE, wanted, added)
        return Verdict(op=Op.UPDATE, effect=effect, paths=added, reason="others added to it in the cluster")
    drift = tuple(differing_paths(_veiled(before, wanted), _veiled(after, wanted)))
    effect = kubernetes_effect(Op.UPDATE, wanted, drift)
    return Verdict(op=Op.UPDATE, effect=effect, paths=drift, reason="it was changed in the cluster", ask=True)


def _own(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inputs without what others may write."""
    others = _OWNED_BY_OTHERS.get(str(wanted.get("kind")), ())
    spec = wanted.get("spec")
    if not others or not isinstance(spec, Mapping):
        return wanted
    return {**wanted, "spec": {key: value for key, value in spec.items() if key not in others}}


def _added(outputs: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the object is no longer what its last run left, but for what others may write to any object."""
    before, after = (
        {key: value for key, value in one.items() if key not in _COMMON and not key.startswith("__")}
        for one in (outputs, live)
    )
    return tuple(differing_paths(before, after))


def _fixed(paths: tuple[str, ...]) -> str:
    return f"{', '.join(paths)} cannot be changed in place"


def after_dry_run(
    verdict: Verdict, wanted: Mapping[str, Any], live: Mapping[str, Any], result: Mapping[str, Any] | None
) -> Verdict:
    """The verdict once the API server was asked. result: the object as it would become, None when that is only
    possible by replacing it."""
    if result is None:
        effect = kubernetes_effect(Op.REPLACE, wanted)
        return Verdict(
            op=Op.REPLACE, effect=effect, paths=verdict.paths, reason="the cluster does not allow it in place"
        )
    if verdict.op is Op.CREATE:
        return verdict
    before, after = _stable(live), _stable(result)
    paths = tuple(differing_paths(_veiled(before, wanted), _veiled(after, wanted)))
    if not paths and verdict.reason:
        return Verdict(op=Op.SAME)
    return Verdict(
        op=Op.UPDATE,
        effect=kubernetes_effect(Op.UPDATE, wanted, paths),
        paths=paths or verdict.paths,
        reason=verdict.reason,
    )


def ignoring(wanted: Mapping[str, Any], recorded: Mapping[str, Any] | None, paths: tuple[str, ...]) -> dict[str, Any]:
    """Inputs in which each ignored path keeps its recorded value; without a record they stay as wanted."""
    inputs = dict(wanted)
    if recorded is None:
        return inputs
    for path in paths:
        inputs = _with(inputs, recorded, path.split("."))
    return inputs


def _with(wanted: Mapping[str, Any], recorded: Any, keys: list[str]) -> dict[str, Any]:
    head, rest = keys[0], keys[1:]
    copy = dict(wanted)
    old = recorded.get(head) if isinstance(recorded, Mapping) else None
    if rest and isinstance(copy.get(head), Mapping):
        copy[head] = _with(copy[head], old, rest)
    elif not rest and old is not None:
        copy[head] = old
    elif not rest:
        copy.pop(head, None)
    return copy


def _version(live: Mapping[str, Any]) -> str | None:
    metadata = live.get("metadata") or {}
    version: str | None = metadata.get("resourceVersion")
    return version


def _stable(live: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what changes by itself."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _VOLATILE}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def _veiled(value: Any, shape: Any) -> Any:
    """The value with secrets where the inputs have secrets, so that paths end above them."""
    if isinstance(shape, Secret):
        return Secret(plain(value))
    if isinstance(value, dict) and isinstance(shape, Mapping) and contains_secret(dict(shape)):
        return {key: _veiled(item, shape.get(key)) for key, item in value.items()}
    return value
