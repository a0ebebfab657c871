"""What lives in the cluster against what should: one list a kind for the whole cell, a page in memory at a time."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tenantry.drift.expectation import Expectation
from tenantry.engine.checkpoint import Recorded
from tenantry.engine.cluster import Cluster
from tenantry.engine.interface import Op
from tenantry.engine.judging import judge_kubernetes
from tenantry.engine.kubernetes_resources import Reference, reference_of

__all__ = ["ObjectLook"]

_LABEL = "tenantry.dev/tenant"
_OPENS = frozenset({"Ingress", "NetworkPolicy", "Role", "RoleBinding"})
"""Listed without a selector: what opens a tenant's namespace counts with or without its labels."""
_PASSING = frozenset({"Job", "Pod"})
_Kept = list[tuple[Reference, bytes]]


class ObjectLook:
    """One look. recorded: reads a tenant's checkpoint again, for those of its objects that were written since.
    suspect: told (tenant, why)."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        recorded: Callable[[Expectation], Mapping[str, Recorded]],
        suspect: Callable[[str, str], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._cluster = cluster
        self._recorded = recorded
        self._suspect = suspect
        self._stopped = stopped
        self._written: dict[str, _Kept] = {}
        self.seen = 0

    def run(self, expectations: Iterable[Expectation]) -> None:
        """Raises DependencyUnavailable, ApiError."""
        everybody = {one.namespace: one for one in expectations}
        owners = {place: one for one in everybody.values() for place in one.objects}
        missing = set(owners)
        for api_version, name in sorted({(place.api_version, place.kind) for place in owners}):
            kind = self._cluster.kind(api_version, name)
            if kind is None or self._stopped():
                continue
            selector = "" if name in _OPENS else _LABEL
            for live in self._cluster.walk(kind, None, selector=selector):
                self.seen += 1
                place = reference_of(live)
                owner = owners.get(place)
                if owner is not None:
                    missing.discard(place)
                    self._compare(owner, place, live)
                elif (near := everybody.get(place.namespace)) is not None and _strange(place, live):
                    self._suspect(near.name, f"{place} is not in its record")
        if self._stopped():
            return
        for place in missing:
            self._suspect(owners[place].name, f"{place} is gone")
        for namespace, kept in self._written.items():
            if not self._stopped():
                self._judge(everybody[namespace], kept)

    def _compare(self, owner: Expectation, place: Reference, live: dict[str, Any]) -> None:
        if live["metadata"].get("resourceVersion") == owner.objects[place]:
            return
        live["metadata"].pop("managedFields", None)
        live.pop("status", None)
        text = zlib.compress(json.dumps(live, separators=(",", ":")).encode(), 1)
        self._written.setdefault(owner.namespace, []).append((place, text))

    def _judge(self, owner: Expectation, kept: _Kept) -> None:
        """Written since it was recorded: a status, an autoscaler, or somebody."""
        by_place = {
            reference_of(one.raw["inputs"]): one.raw for one in self._recorded(owner).values() if one.is_kubernetes
        }
        for place, text in kept:
            live = json.loads(zlib.decompress(text))
            raw = by_place.get(place)
            if raw is None:
                self._suspect(owner.name, f"{place} was recorded meanwhile")
                continue
            inputs = raw["inputs"]
            verdict = judge_kubernetes(inputs, recorded=inputs, outputs=raw.get("outputs") or {}, live=live)
            if live["metadata"].get("deletionTimestamp"):
                self._suspect(owner.name, f"{place} is being deleted")
            elif verdict.op is Op.SAME:
                owner.objects[place] = str(live["metadata"]["resourceVersion"])
            else:
                self._suspect(owner.name, f"{place}: {', '.join(verdict.paths)} changed")


def _strange(place: Reference, live: Mapping[str, Any]) -> bool:
    return place.kind not in _PASSING and not live["metadata"].get("ownerReferences")
