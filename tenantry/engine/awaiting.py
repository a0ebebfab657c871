"""Awaiting: until objects do what they are for, within a time.

`readiness` is pure. `await_ready` polls a whole wave together, one call per kind and namespace. A claim counts as
ready unless it is lost: with a class that waits for its first consumer it is bound only when a pod uses it, and that
pod's workload is awaited.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tenantry.engine.kubernetes_resources import KubernetesResources, Reference

__all__ = ["Awaited", "Readiness", "State", "await_ready", "default_timeout", "readiness"]

_SKIP = "pulumi.com/skipAwait"
_TIMEOUTS_S = {"Deployment": 600.0, "StatefulSet": 600.0, "DaemonSet": 600.0, "Job": 600.0, "Pod": 300.0}
_OTHER_TIMEOUT_S = 300.0
_FIRST_POLL_S = 0.1
_LAST_POLL_S = 2.0


class State(StrEnum):
    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """live: the object as last seen, None when it went away."""

    readiness: Readiness
    live: Mapping[str, Any] | None


_READY = Readiness(state=State.READY)


def default_timeout(kind: str) -> float:
    """Seconds."""
    return _TIMEOUTS_S.get(kind, _OTHER_TIMEOUT_S)


def readiness(live: Mapping[str, Any]) -> Readiness:
    """Whether an object has reached what it is for, and if not, why."""
    annotations = live["metadata"].get("annotations") or {}
    if str(annotations.get(_SKIP)).lower() == "true":
        return _READY
    judge = _JUDGES.get(str(live.get("kind")))
    return judge(live) if judge is not None else _READY


def _deployment(live: Mapping[str, Any]) -> Readiness:
    status, wanted = live.get("status") or {}, _replicas(live)
    conditions = _conditions(live)
    progressing = conditions.get("Progressing") or {}
    if progressing.get("status") == "False":
        return Readiness(state=State.FAILED, reason=_text(progressing))
    if not _observed(live):
        return _waiting("its controller has not seen it yet")
    if (status.get("updatedReplicas") or 0) < wanted:
        return _waiting(f"{status.get('updatedReplicas') or 0} of {wanted} replicas are up to date")
    if (status.get("availableReplicas") or 0) < wanted:
        failure = conditions.get("ReplicaFailure")
        if failure:
            return _waiting(_text(failure))
        return _waiting(f"{status.get('availableReplicas') or 0} of {wanted} replicas are available")
    if (status.get("replicas") or 0) > wanted:
        return _waiting("replicas of the former version are still ending")
    return _READY


def _stateful_set(live: Mapping[str, Any]) -> Readiness:
    status, wanted = live.get("status") or {}, _replicas(live)
    if not _observed(live):
        return _waiting("its controller has not seen it yet")
    if (status.get("readyReplicas") or 0) < wanted:
        return _waiting(f"{status.get('readyReplicas') or 0} of {wanted} replicas are ready")
    if wanted and status.get("updateRevision") != status.get("currentRevision"):
        return _waiting("replicas of the former version are still running")
    return _READY


def _daemon_set(live: Mapping[str, Any]) -> Readiness:
    status = live.get("status") or {}
    wanted = status.get("desiredNumberScheduled") or 0
    if not _observed(live):
        return _waiting("its controller has not seen it yet")
    if (status.get("updatedNumberScheduled") or 0) < wanted or (status.get("numberAvailable") or 0) < wanted:
        return _waiting(f"{status.get('numberAvailable') or 0} of {wanted} nodes run it")
    return _READY


def _job(live: Mapping[str, Any]) -> Readiness:
    conditions = _conditions(live)
    failed, complete = conditions.get("Failed") or {}, conditions.get("Complete") or {}
    if failed.get("status") == "True":
        return Readiness(state=State.FAILED, reason=_text(failed))
    if complete.get("status") == "True" or (live.get("spec") or {}).get("suspend"):
        return _READY
    return _waiting("it has not completed")


def _pod(live: Mapping[str, Any]) -> Readiness:
    phase = (live.get("status") or {}).get("phase")
    if phase == "Failed":
        return Readiness(state=State.FAILED, reason="the pod failed")
    ready = _conditions(live).get("Ready") or {}
    if phase == "Succeeded" or ready.get("status") == "True":
        return _READY
    return _waiting(_text(ready) or f"its phase is {phase}")


def _claim(live: Mapping[str, Any]) -> Readiness:
    if (live.get("status") or {}).get("phase") == "Lost":
        return Readiness(state=State.FAILED, reason="its volume is lost")
    return _READY


def _service(live: Mapping[str, Any]) -> Readiness:
    if (live.get("spec") or {}).get("type") != "LoadBalancer":
        return _READY
    balancer = (live.get("status") or {}).get("loadBalancer") or {}
    return _READY if balancer.get("ingress") else _waiting("its load balancer has no address")


def _quota(live: Mapping[str, Any]) -> Readiness:
    hard = (live.get("status") or {}).get("hard")
    if hard and hard != (live.get("spec") or {}).get("hard"):  # a claim that grows is still measured by the former one
        return _waiting("its controller has not seen the change yet")
    return _READY


def _namespace(live: Mapping[str, Any]) -> Readiness:
    phase = (live.get("status") or {}).get("phase")
    return _READY if phase == "Active" else _waiting(f"its phase is {phase}")


def _definition(live: Mapping[str, Any]) -> Readiness:
    conditions = _conditions(live)
    refused = conditions.get("NamesAccepted") or {}
    if refused.get("status") == "False":
        return Readiness(state=State.FAILED, reason=_text(refused))
    established = conditions.get("Established") or {}
    return _READY if established.get("status") == "True" else _waiting("it is not established")


_JUDGES: dict[str, Callable[[Mapping[str, Any]], Readiness]] = {
    "CustomResourceDefinition": _definition,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Job": _job,
    "Namespace": _namespace,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "ResourceQuota": _quota,
    "Service": _service,
    "StatefulSet": _stateful_set,
}


def await_ready(
    resources: KubernetesResources,
    wanted: Mapping[Reference, tuple[Mapping[str, Any], float]],
    *,
    stopped: Callable[[float], bool],
) -> dict[Reference, Awaited]:
    """Wait for all of them. wanted: the object as it was answered by its apply, and its limit in seconds.

    stopped: waits the given seconds, True when the run was told to stop; then the rest is left waiting.
    """
    results = {one: Awaited(readiness=readiness(live), live=live) for one, (live, _) in wanted.items()}
    started = time.monotonic()
    pause = _FIRST_POLL_S
    while True:
        waiting = {one for one, seen in results.items() if seen.readiness.state is State.WAITING}
        late = {one for one in waiting if time.monotonic() - started > wanted[one][1]}
        for one in late:
            reason = f"not ready after {wanted[one][1]:.0f} s: {results[one].readiness.reason}"
            failed = Readiness(state=State.FAILED, reason=reason)
            results[one] = Awaited(readiness=failed, live=results[one].live)
        waiting -= late
        if not waiting or stopped(pause):
            break
        pause = min(pause * 1.5, _LAST_POLL_S)
        live = resources.poll(waiting)
        for one in waiting:
            if one in live:
                results[one] = Awaited(readiness=readiness(live[one]), live=live[one])
            else:
                gone = Readiness(state=State.FAILED, reason="somebody deleted it")
                results[one] = Awaited(readiness=gone, live=None)
    return {one: _explained(resources, one, seen) for one, seen in results.items()}


def _explained(resources: KubernetesResources, reference: Reference, seen: Awaited) -> Awaited:
    """A failure, with what its pods say."""
    labels = (((seen.live or {}).get("spec") or {}).get("selector") or {}).get("matchLabels")
    if seen.readiness.state is not State.FAILED or not labels:
        return seen
    found = resources.observe({Reference("v1", "Pod", reference.namespace, "")}, {reference.namespace})
    said: dict[str, None] = {}
    for pod in found.values():
        if labels.items() <= (pod["metadata"].get("labels") or {}).items():
            said.update(dict.fromkeys(_complaints(pod)))
    reason = "; ".join((seen.readiness.reason, *said))
    return Awaited(readiness=Readiness(state=State.FAILED, reason=reason), live=seen.live)


def _complaints(pod: Mapping[str, Any]) -> list[str]:
    status = pod.get("status") or {}
    found = []
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason") not in ("ContainerCreating", "PodInitializing"):
            found.append(
                f"container {container['name']}: {waiting.get('reason')} {waiting.get('message') or ''}".strip()
            )
        elif ended and ended.get("exitCode"):
            found.append(f"container {container['name']} ended with exit code {ended['exitCode']}")
    scheduled = _conditions(pod).get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        found.append(_text(scheduled))
    return found


def _conditions(live: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {one["type"]: one for one in (live.get("status") or {}).get("conditions") or ()}


def _observed(live: Mapping[str, Any]) -> bool:
    return ((live.get("status") or {}).get("observedGeneration") or 0) >= (live["metadata"].get("generation") or 0)


def _replicas(live: Mapping[str, Any]) -> int:
    replicas = (live.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def _text(condition: Mapping[str, Any]) -> str:
    return str(condition.get("message") or condition.get("reason") or "")


def _waiting(reason: str) -> Readiness:
    return Readiness(state=State.WAITING, reason=reason)
