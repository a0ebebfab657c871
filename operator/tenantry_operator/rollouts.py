"""Roll-outs: looks at each Rollout object in turn, asks for the releases that are due, and tells how far it is.

A thread of its own beside the queue. It does no release itself: it writes the journal that the tenant's own look finds.
Every look begins from what the journals and records say, so that a kill loses nothing and begins nothing twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from tenantry.engine.cluster import ApiError, Cluster
from tenantry.fleet import Fleet, Record
from tenantry.releasing import Releasing
from tenantry.tenancy.document import Document, validate
from tenantry.tenancy.errors import Conflict, InvalidInput, Locked, TenantryError, in_full
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.release import Step
from tenantry.tenancy.rollout import GROUP_PATH, Rollout, RolloutPhase, State, look
from tenantry.tenancy.spec import Activity
from tenantry.tenancy.upgrading import UPGRADE, check_path
from tenantry_operator.objects import Tenants

__all__ = ["Rollouts"]

_log = logging.getLogger(__name__)
_EVERY_S = 5.0
_FAILED_SHOWN = 20
_MERGE = "application/merge-patch+json"


class Rollouts:
    """tenants: their objects, as last seen. fenced: whether this operator may still act. enqueue: has a tenant looked
    at now."""

    def __init__(
        self,
        fleet: Fleet,
        kubernetes: Cluster,
        tenants: Tenants,
        *,
        fenced: Callable[[], bool],
        enqueue: Callable[[str], None],
    ) -> None:
        self._fleet = fleet
        self._kubernetes = kubernetes
        self._tenants = tenants
        self._fenced = fenced
        self._enqueue = enqueue
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            if not self._fenced():
                continue
            try:
                self.look()
            except (ApiError, TenantryError) as error:
                _log.warning("the roll-outs cannot be looked at: %s", error)
            except Exception:  # noqa: BLE001 - a fault of ours must not end the looking for good
                _log.exception("a look at the roll-outs failed")

    def look(self) -> None:
        """One look at every roll-out of the cell, the oldest first."""
        listed = self._kubernetes.get(GROUP_PATH)
        if listed is None:
            return  # a cell that was set up before there were any
        for body in sorted(listed.get("items") or (), key=lambda one: str(one["metadata"]["creationTimestamp"])):
            if (body.get("status") or {}).get("phase") not in (RolloutPhase.DONE, RolloutPhase.ABORTED):
                self._look(body)

    def _look(self, body: Mapping[str, Any]) -> None:
        name = str(body["metadata"]["name"])
        try:
            rollout = _parsed(body)
            self._check(rollout)
        except InvalidInput as error:
            self._tell(body, {"phase": RolloutPhase.HALTED.value, "message": in_full(error)})
            return
        states, waiting, failures = self._states(rollout)
        found = look(rollout, states, frozenset(waiting))
        for tenant in found.withdraw:
            self._withdraw(tenant)
        for tenant in found.begin:
            self._begin(rollout, tenant)
        self._tell(
            body,
            {
                "phase": found.phase.value,
                "ring": found.ring or "",
                "message": found.message,
                "tenants": {state.value: count for state, count in found.counts.items()},
                "done": f"{found.counts[State.DONE]}/{len(states) - found.counts[State.LEFT_OUT]}",
                "failures": [f"{one}: {why}"[:300] for one, why in sorted(failures.items())][:_FAILED_SHOWN],
            },
        )
        _log.debug(found.message, extra={"rollout": name})

    def _check(self, rollout: Rollout) -> None:
        """Raises InvalidInput for a version that the catalogue does not have."""
        versions = self._fleet.catalogue.workloads.get(rollout.spec.workload)
        if versions is None:
            raise InvalidInput(f"there is no workload {rollout.spec.workload}")
        wanted = rollout.spec.template_version
        looked_at = list(versions) if wanted is None else [one for one in versions if one == wanted]
        if not any(
            release.name == rollout.spec.release
            for one in looked_at
            for release in versions[one].workload.spec.releases
        ):
            raise InvalidInput(
                f"workload {rollout.spec.workload} has no release {rollout.spec.release}"
                + (f" in template version {wanted}" if wanted is not None else "")
            )

    def _states(self, rollout: Rollout) -> tuple[dict[str, State], set[str], dict[str, str]]:
        """Where every tenant of the workload stands; which wait untouched; why some failed or are unknown."""
        states: dict[str, State] = {}
        waiting: set[str] = set()
        failures: dict[str, str] = {}
        deleting = self._fleet.deletions.names()
        for record in self._fleet.registry.all():
            try:
                if _workload(record.manifest) != rollout.spec.workload:
                    continue
                last = self._fleet.releases.get(record.namespace)
            except TenantryError as error:  # its own trouble: the others go on
                states[record.name] = State.LEFT_OUT
                failures[record.name] = f"left out: {error.message}"
                continue
            target = rollout.version_for(record.running)
            ours = f"rollout {rollout.metadata.name}"
            if last is not None and last.is_open and last.by == ours:
                begun = last.has_begun(Step.CHECK)
                if begun or self._takes_part(record, rollout, deleting):
                    states[record.name] = State.UNDER_WAY
                    waiting |= set() if begun else {record.name}
                else:  # pinned, expired or deleted while it waited for its window
                    states[record.name] = State.LEFT_OUT
                    self._withdraw(record.name)
            elif last is not None and last.failed and last.by == ours and record.running == last.before:
                states[record.name] = State.FAILED
                failures[record.name] = last.going_back or ""
            elif record.running == target:
                states[record.name] = State.DONE
            else:
                states[record.name] = State.PENDING if self._takes_part(record, rollout, deleting) else State.LEFT_OUT
        return states, waiting, failures

    def _takes_part(self, record: Record, rollout: Rollout, deleting: frozenset[str]) -> bool:
        """A tenant that pins its release, or that has no way to this one, is left out; so is what does not stand."""
        target = rollout.version_for(record.running)
        body = self._tenants.get(record.name)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return False  # without an object no look at it would begin the release
        pinned = body.get("spec") or {}
        if pinned.get("release") not in (None, target.release):
            return False
        if pinned.get("templateVersion") not in (None, target.template_version):
            return False
        if record.finished_at is None or record.activity == Activity.CLOSED:
            return False
        if record.name in deleting:
            return False
        try:
            check_path(rollout.spec.workload, self._fleet.catalogue, record.running, target)
        except InvalidInput:
            return False
        return True

    def _begin(self, rollout: Rollout, name: str) -> None:
        record, body = self._fleet.record(name), self._tenants.get(name) or {"metadata": {}}
        annotations = body["metadata"].get("annotations") or {}
        try:
            Releasing(self._fleet).request(
                name,
                rollout.version_for(record.running),
                by=f"rollout {rollout.metadata.name}",
                request=str(annotations.get(UPGRADE, "")),
                at_once=rollout.spec.now,
            )
        except (Locked, Conflict):
            return  # somebody is at work on it: at the next look
        except TenantryError as error:
            _log.warning("the release of %s cannot be asked for: %s", name, error)
            return
        self._enqueue(name)

    def _withdraw(self, name: str) -> None:
        with suppress(Locked):  # it begins in this moment: then it ends as well
            Releasing(self._fleet).dismiss(name)

    def _tell(self, body: Mapping[str, Any], status: dict[str, Any]) -> None:
        """Write the status where it differs."""
        earlier = body.get("status") or {}
        status["observedGeneration"] = int(body["metadata"].get("generation") or 1)
        if all(earlier.get(key) == value for key, value in status.items()):
            return
        if earlier.get("phase") != status["phase"]:
            status["since"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            _log.info("roll-out %s: %s", body["metadata"]["name"], status["message"], extra={"phase": status["phase"]})
        path = f"{GROUP_PATH}/{body['metadata']['name']}/status"
        self._kubernetes.request("PATCH", path, body={"status": status}, content_type=_MERGE)


@lru_cache(maxsize=4096)
def _workload(manifest: str) -> str:
    return parse_tenant(manifest, source="record").tenant.spec.workload


def _parsed(body: Mapping[str, Any]) -> Rollout:
    kept = {key: value for key, value in body["metadata"].items() if key in ("name", "uid")}
    content = {**{key: body.get(key) for key in ("apiVersion", "kind", "spec")}, "metadata": kept}
    document = Document(source=f"rollout/{kept['name']}", text="", content=content)
    return validate(document, Rollout, noun="the Rollout object")
