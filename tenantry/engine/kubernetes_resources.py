"""Kubernetes objects: read what lives, apply what is wanted (server-side), delete.

Field ownership follows Pulumi's Kubernetes provider, so that the CLI can take an object over: the manager is the one
that the checkpoint names (`__fieldManager`), or one made from the resource's identity, which also proves that an
object found in the cluster is this resource's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from tenantry.engine.cluster import ApiError, Cluster, Kind, as_ours
from tenantry.engine.effects import WHOLE
from tenantry.engine.properties import plain
from tenantry.tenancy.errors import Conflict, RunFailed

__all__ = [
    "KubernetesResources",
    "Reference",
    "field_manager",
    "identity_of",
    "is_ours",
    "is_stray",
    "reference_of",
]

_CREATOR = "pulumi-kubernetes"
"""Manager under which the CLI creates; its fields are handed over before the first apply, or they could never be
removed again."""
_FOREGROUND = frozenset({"CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"})
_METADATA = "f:metadata"
_MANAGED_BY = "app.kubernetes.io/managed-by"
_TENANT = "tenantry.dev/tenant"
_INCARNATION = "tenantry.dev/incarnation"
_POLL_S = 0.2
_PROBE = "probe"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """One object's place. namespace: "" for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def reference_of(inputs: Mapping[str, Any]) -> Reference:
    """The place that an object's inputs (or the object itself) name."""
    metadata = plain(inputs["metadata"])
    return Reference(
        str(inputs["apiVersion"]), str(inputs["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"])
    )


def field_manager(urn: str) -> str:
    """The manager of a resource that no checkpoint names yet. Stable, so a killed run's objects are known again."""
    return f"{_CREATOR}-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def is_ours(live: Mapping[str, Any], inputs: Mapping[str, Any], manager: str) -> bool:
    """Whether an object that no checkpoint names belongs to this very resource: applied by its manager, or labelled
    with the same tenant and incarnation."""
    metadata = live["metadata"]
    if any(entry.get("manager") == manager for entry in metadata.get("managedFields") or ()):
        return True
    labels = metadata.get("labels") or {}
    wanted = plain(inputs["metadata"]).get("labels") or {}
    return bool(wanted.get(_TENANT) and wanted.get(_INCARNATION)) and all(
        labels.get(key) == wanted[key] for key in (_TENANT, _INCARNATION)
    )


def identity_of(live: Mapping[str, Any]) -> tuple[str, str] | None:
    """Tenant and incarnation by an object's labels."""
    labels = plain((live.get("metadata") or {}).get("labels") or {})
    tenant, incarnation = labels.get(_TENANT), labels.get(_INCARNATION)
    return (str(tenant), str(incarnation)) if tenant and incarnation else None


def is_stray(live: Mapping[str, Any], identities: set[tuple[str, str] | None]) -> bool:
    """Whether an object that nothing records is of one of these tenants and was made by an engine: what Kubernetes'
    own controllers make of it (pods) carries the same labels."""
    metadata = live["metadata"]
    managers = [str(entry.get("manager")) for entry in metadata.get("managedFields") or ()]
    return (
        not metadata.get("ownerReferences")
        and identity_of(live) in identities
        and identity_of(live) is not None
        and (metadata.get("labels") or {}).get(_MANAGED_BY) == "tenantry"
        and any(manager.startswith(f"{_CREATOR}-") or manager == _CREATOR for manager in managers)
    )


class KubernetesResources:
    """The objects of one cluster. threads: shared by all calls of a run."""

    def __init__(self, cluster: Cluster, threads: ThreadPoolExecutor) -> None:
        self._cluster = cluster
        self._threads = threads

    def kind(self, reference: Reference) -> Kind | None:
        kind = self._cluster.kind(reference.api_version, reference.kind)
        if kind is not None and kind.namespaced != bool(reference.namespace):
            raise RunFailed(
                f"{reference} {'needs a' if kind.namespaced else 'cannot have a'} namespace",
                where=str(reference),
                hint="set metadata.namespace" if kind.namespaced else "leave metadata.namespace out",
            )
        return kind

    def get(self, reference: Reference) -> dict[str, Any] | None:
        kind = self.kind(reference)
        if kind is None:
            return None
        try:
            return self._cluster.get(kind.path(reference.namespace, reference.name))
        except ApiError as error:
            raise as_ours(error, where=str(reference)) from error

    def observe(self, references: set[Reference], own_namespaces: set[str]) -> dict[Reference, dict[str, Any]]:
        """Live objects at the given places, and all of the same kinds in `own_namespaces` (one list per kind).

        Absent objects are absent from the result. Nothing is asked about a namespace that does not exist.
        """
        found: dict[Reference, dict[str, Any]] = {}
        singles = {one for one in references if not one.namespace}
        self._collect(found, [partial(self._as_list, one) for one in sorted(singles)])
        existing = {one.name for one in found if one.kind == "Namespace"}
        asked = {one.name for one in singles if one.kind == "Namespace"}
        lists: set[tuple[str, str, str]] = set()
        calls: list[Callable[[], list[dict[str, Any]]]] = []
        for one in sorted(references - singles):
            if one.namespace in asked - existing:
                continue
            if one.namespace in own_namespaces:
                lists.add((one.api_version, one.kind, one.namespace))
            else:
                calls.append(partial(self._as_list, one))
        for api_version, kind, namespace in sorted(lists):
            calls.append(partial(self._list, api_version, kind, namespace))
        self._collect(found, calls)
        return found

    def labelled(self, identities: set[tuple[str, str] | None]) -> dict[Reference, dict[str, Any]]:
        """Objects of every kind that the server lists, in every namespace, with these tenants' labels. What we may
        not list is left out."""
        found: dict[Reference, dict[str, Any]] = {}

        def listed(kind: Kind, selector: str) -> list[dict[str, Any]]:
            try:
                return self._cluster.list(kind, None, selector=selector)
            except ApiError:
                return []

        calls: list[Callable[[], list[dict[str, Any]]]] = [
            partial(listed, kind, f"{_TENANT}={identity[0]},{_INCARNATION}={identity[1]}")
            for identity in sorted(one for one in identities if one is not None)
            for kind in self._cluster.listed_kinds()
        ]
        self._collect(found, calls)
        return found

    def poll(self, references: set[Reference]) -> dict[Reference, dict[str, Any]]:
        """The present state of a few objects: one call per kind and namespace."""
        groups: dict[tuple[str, str, str], list[Reference]] = {}
        for one in references:
            groups.setdefault((one.api_version, one.kind, one.namespace), []).append(one)
        calls: list[Callable[[], list[dict[str, Any]]]] = []
        for (api_version, kind, namespace), members in sorted(groups.items()):
            if len(members) == 1 or not namespace:
                calls += [partial(self._as_list, one) for one in members]
            else:
                calls.append(partial(self._list, api_version, kind, namespace))
        found: dict[Reference, dict[str, Any]] = {}
        self._collect(found, calls)
        return {one: live for one, live in found.items() if one in references}

    def apply(
        self,
        body: Mapping[str, Any],
        manager: str,
        *,
        live: Mapping[str, Any] | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Server-side apply. live: the object as last read, to hand over the fields of its creation by the CLI.

        Raises ApiError: the caller tells an immutable field from a refusal.
        """
        reference = reference_of(body)
        kind = self.kind(reference)
        if kind is None:
            raise RunFailed(
                f"the cluster does not know the kind {reference.kind} of {reference.api_version}",
                where=str(reference),
                hint="install its CustomResourceDefinition first",
            )
        path = kind.path(reference.namespace, reference.name)
        if live is not None and not dry_run:
            self._hand_over(path, live, manager, whole=reference.kind in WHOLE)
        return self._cluster.request(
            "PATCH",
            path,
            query={"fieldManager": manager, "force": "true", "dryRun": "All" if dry_run else ""},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    def allows_new(self, body: Mapping[str, Any]) -> bool:
        """Whether the API server would accept the same object under a new name. Tells a change that is not allowed
        from an object that never is."""
        reference = reference_of(body)
        kind = self.kind(reference)
        if kind is None:
            return False
        metadata = {**body["metadata"], "name": f"{reference.name[:50].rstrip('-.')}-{_PROBE}"}
        try:
            self._cluster.request(
                "POST",
                kind.path(reference.namespace),
                query={"dryRun": "All"},
                body={**body, "metadata": metadata},
            )
        except ApiError:
            return False
        return True

    def delete(self, reference: Reference, uid: str | None, timeout_s: float, stopped: Callable[[float], bool]) -> None:
        """Delete and wait until the object is gone; an absent one is done. uid: of the object that is meant, None
        for whichever is there. stopped: waits the given seconds, True when the run was told to stop."""
        kind = self.kind(reference)
        if kind is None:
            return
        path = kind.path(reference.namespace, reference.name)
        options: dict[str, Any] = {"propagationPolicy": "Foreground" if reference.kind in _FOREGROUND else "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._cluster.request("DELETE", path, body=options)
        except ApiError as error:
            if error.status == 404:
                return
            if error.status == 409 and uid:
                raise Conflict(
                    f"{reference} was replaced by somebody else since the last run",
                    where=str(reference),
                    hint="look at it; delete it by hand if it is not needed, then run again",
                ) from error
            raise as_ours(error, where=str(reference)) from error
        deadline = time.monotonic() + timeout_s
        wait_s = _POLL_S / 4
        while (live := self.get(reference)) is not None:
            if uid and live["metadata"]["uid"] != uid:
                return
            if time.monotonic() > deadline:
                raise RunFailed(
                    f"{reference} was not gone after {timeout_s:.0f} s{_why_stuck(live)}",
                    where=str(reference),
                    hint="clear what holds it, then run again",
                )
            if stopped(wait_s):
                raise RunFailed("stopped while waiting for a deletion", where=str(reference), hint="run again to go on")
            wait_s = min(wait_s * 2, 2.0)

    def _hand_over(self, path: str, live: Mapping[str, Any], manager: str, *, whole: bool) -> None:
        """Fields of the creation by the CLI become ours; of what must be as we say as a whole, all that others wrote:
        what we own and do not send goes with the next apply."""
        entries = live["metadata"].get("managedFields") or []
        kept = [entry for entry in entries if not _is_creators(entry)]
        if len(kept) < len(entries) and not any(_is_own(entry, manager) for entry in kept):
            first = next(entry for entry in entries if _is_creators(entry))
            kept.append({**first, "manager": manager, "operation": "Apply"})
        if whole:
            kept = _taken_over(kept, manager)
        if kept == entries:
            return
        self._cluster.request(
            "PATCH",
            path,
            body=[
                {"op": "replace", "path": "/metadata/managedFields", "value": kept},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
            ],
            content_type="application/json-patch+json",
        )

    def _as_list(self, reference: Reference) -> list[dict[str, Any]]:
        live = self.get(reference)
        return [live] if live is not None else []

    def _list(self, api_version: str, kind_name: str, namespace: str) -> list[dict[str, Any]]:
        kind = self._cluster.kind(api_version, kind_name)
        return self._cluster.list(kind, namespace) if kind is not None else []

    def _collect(self, found: dict[Reference, dict[str, Any]], calls: list[Callable[[], list[dict[str, Any]]]]) -> None:
        try:
            for objects in self._threads.map(lambda call: call(), calls):
                for live in objects:
                    found[reference_of(live)] = live
        except ApiError as error:
            raise RunFailed(f"the cluster could not be read: {error}", where=self._cluster.address) from error


def _is_own(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply"


def _taken_over(entries: list[dict[str, Any]], manager: str) -> list[dict[str, Any]]:
    """managedFields in which our entry has what others have, but for their labels and annotations."""
    theirs = [one for one in entries if not _is_own(one, manager) and not one.get("subresource")]
    if not theirs:
        return entries
    none = {**theirs[0], "manager": manager, "operation": "Apply", "fieldsV1": {}}
    own = next((one for one in entries if _is_own(one, manager)), none)
    fields = own["fieldsV1"]
    kept = [one for one in entries if one.get("subresource")]
    for one in theirs:
        fields = _union(fields, {key: value for key, value in one["fieldsV1"].items() if key != _METADATA})
        if _METADATA in one["fieldsV1"]:
            kept.append({**one, "fieldsV1": {_METADATA: one["fieldsV1"][_METADATA]}})
    return [{**own, "fieldsV1": fields}, *kept]


def _union(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Of two sets of fields as FieldsV1 writes them: nested by key."""
    return {key: _union(one.get(key, {}), other.get(key, {})) for key in one | other}


def _is_creators(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") == _CREATOR and entry.get("operation") == "Update" and not entry.get("subresource")


def _why_stuck(live: Mapping[str, Any]) -> str:
    finalizers = live["metadata"].get("finalizers") or (live.get("spec") or {}).get("finalizers") or ()
    conditions = (live.get("status") or {}).get("conditions") or ()
    reasons = [one["message"] for one in conditions if one.get("status") == "True" and one.get("message")]
    held = f"; held by {', '.join(finalizers)}" if finalizers else ""
    return held + (f": {'; '.join(reasons)}" if reasons else "")
