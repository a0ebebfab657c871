"""Acting: carry out one step, by the cluster or by a provider. Every act may be repeated."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.engine.cluster import ApiError
from tenantry.engine.dynamic_resources import DynamicResources, Made
from tenantry.engine.interface import Op
from tenantry.engine.plan import Step
from tenantry.engine.reach import Reach
from tenantry.tenancy.errors import RunFailed

__all__ = ["Actor"]

_DELETE_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """stop: set when the run was told to end; waits watch it. Safe to use from several threads."""

    reach: Reach
    dynamic: DynamicResources
    stop: threading.Event

    def upsert(self, step: Step) -> Made | dict[str, Any]:
        """The object as the API server answered it, or the dynamic resource as made."""
        return self._apply(step) if step.reference is not None else self._ensure(step)

    def _apply(self, step: Step) -> dict[str, Any]:
        cluster = self.reach.cluster(step.provider)
        live = step.live
        if step.change.op is Op.REPLACE and step.recorded is not None:
            old = self.reach.reference_of(step.recorded)
            uid = live["metadata"]["uid"] if live is not None and old == step.reference else None
            cluster.delete(old, uid, _delete_timeout(step), self.stop.wait)
            live = None if old == step.reference else live
        elif step.change.op is Op.REPLACE and step.reference is not None and live is not None:
            cluster.delete(step.reference, live["metadata"]["uid"], _delete_timeout(step), self.stop.wait)
            live = None
        try:
            return cluster.apply(step.body, step.manager, live=live)
        except ApiError as error:
            raise RunFailed(f"{step.reference}: {error}", where=str(step.reference)) from error

    def _ensure(self, step: Step) -> Made:
        title = f"{step.change.type} {step.change.name}"
        known = step.recorded is not None and not step.recorded.pending
        if step.change.op is Op.CREATE or step.recorded is None or not known:
            return self.dynamic.create(title, step.inputs)
        outputs = self.reach.opened(step.recorded.raw.get("outputs") or {})
        if step.change.op is Op.REPLACE:
            self.dynamic.delete(title, step.recorded.id, outputs)
            return self.dynamic.create(title, step.inputs)
        return self.dynamic.update(title, step.recorded.id, outputs, step.inputs)

    def remove(self, step: Step) -> None:
        """Delete and wait until it is gone; absent is done."""
        if step.reference is not None:
            uid = step.live["metadata"]["uid"] if step.live is not None else None
            self.reach.cluster(step.provider).delete(step.reference, uid, _delete_timeout(step), self.stop.wait)
            return
        raw: Mapping[str, Any] = step.recorded.raw if step.recorded is not None else {}
        state = self.reach.opened(raw.get("outputs") or raw.get("inputs") or {})
        self.dynamic.delete(f"{step.change.type} {step.change.name}", str(raw.get("id", "")), state)


def _delete_timeout(step: Step) -> float:
    if step.wanted is not None and step.wanted.timeouts is not None and step.wanted.timeouts.delete:
        return step.wanted.timeouts.delete
    raw: Mapping[str, Any] = step.recorded.raw if step.recorded is not None else {}
    return float((raw.get("customTimeouts") or {}).get("delete") or _DELETE_TIMEOUT_S)
