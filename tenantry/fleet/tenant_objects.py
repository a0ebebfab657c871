"""The Tenant objects of a cell, as drivers write and read them. What follows from them is the operator's work.

Drivers write by server-side apply under one field manager, so that the API server knows whose each field is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tenantry.engine.cluster import ApiError, Cluster
from tenantry.fleet.field_owners import APPLIER, adopted, owners
from tenantry.tenancy.document import Document, validate
from tenantry.tenancy.editing import difference
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput, Problem, RunFailed, TenantryError
from tenantry.tenancy.manifest import TenantFile
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.schema import GROUP, PLURAL, VERSION

__all__ = ["LEASE", "MANAGED_BY", "SYSTEM_NAMESPACE", "TenantObjects", "file_of", "path_of"]

MANAGED_BY = f"{GROUP}/managed-by"
"""Label of a Tenant: which driver made it (kubectl, cli, api, gitops, pulumi)."""
SYSTEM_NAMESPACE = "tenantry-system"
LEASE = "tenantry-operator"
"""Name of the Lease that the operator at work holds."""
_TRIES = 5
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Body = Mapping[str, Any]


def path_of(name: str = "") -> str:
    """Of one Tenant, or of all."""
    return f"/apis/{GROUP}/{VERSION}/{PLURAL}" + (f"/{name}" if name else "")


class TenantObjects:
    """cluster: as whom we speak to the cell's API server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def get(self, name: str) -> dict[str, Any] | None:
        try:
            return self._cluster.get(path_of(name))
        except ApiError as error:
            raise _refused(error, name) from None

    def require(self, name: str) -> dict[str, Any]:
        """Raises InvalidInput for a tenant that has no object."""
        body = self.get(name)
        if body is None:
            known = ", ".join(str(one["metadata"]["name"]) for one in self.all()) or "none yet"
            raise InvalidInput(f"the cell has no Tenant object {name}", source=name, hint=f"Tenant objects: {known}")
        return body

    def all(self) -> list[dict[str, Any]]:
        """By name; none where the cell has no definition of Tenant."""
        try:
            found = self._cluster.request("GET", path_of()).get("items") or []
        except ApiError as error:
            if error.status == 404:
                return []
            raise _refused(error, "") from None
        return sorted(found, key=lambda one: str(one["metadata"]["name"]))

    def apply(self, file: TenantFile, *, driver: str, take_over: bool = False) -> dict[str, Any]:
        """Write what the file says: afterwards the object's spec says that and nothing else. driver: for the label of a
        new tenant; one that is there keeps its own.

        take_over: also fields that another driver wrote, those that the file lacks too. Raises Conflict, naming them,
        without it; InvalidInput for what the API server does not accept.
        """
        content = file.document.content
        name, metadata = file.tenant.metadata.name, content["metadata"]
        present = self._adopt(self.get(name), everybody=take_over)
        made_by = driver if present is None or take_over else (present["metadata"].get("labels") or {}).get(MANAGED_BY)
        labels = {**(metadata.get("labels") or {}), **({MANAGED_BY: made_by} if made_by == driver else {})}
        body = {
            "apiVersion": content["apiVersion"],
            "kind": content["kind"],
            "metadata": {
                "name": name,
                **({"labels": labels} if labels else {}),
                **({"annotations": metadata["annotations"]} if metadata.get("annotations") else {}),
            },
            "spec": content["spec"],
        }
        others = owners(present) if present is not None else ()
        try:
            if present is not None and others:
                self._require_ours(present, file, self._apply(name, body, force=take_over, dry_run=True))
            return self._apply(name, body, force=take_over)
        except ApiError as error:
            if error.status == 409 and others:
                fields = [str(one["field"]).lstrip(".") for one in error.causes if one.get("field")]
                raise _not_ours(file, others, fields) from None
            if error.status != 409:
                raise _refused(error, name, file=file) from None
        try:  # a label or an annotation that the file says otherwise
            return self._apply(name, body, force=True)
        except ApiError as error:
            raise _refused(error, name, file=file) from None

    def edit(self, body: Body, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of this very object's spec, None takes one away. The object as it is then. Raises Conflict when
        somebody else changed it meanwhile."""
        name = str(body["metadata"]["name"])
        met = {"uid": body["metadata"]["uid"], "resourceVersion": body["metadata"]["resourceVersion"]}
        change = {"metadata": met, "spec": patch}
        try:
            return self._cluster.request(
                "PATCH", path_of(name), query={"fieldManager": APPLIER}, body=change, content_type=_MERGE
            )
        except ApiError as error:
            if error.status == 409:
                raise Conflict(
                    f"tenant {name} was changed meanwhile", where=f"tenant/{name}", hint="run the command again"
                ) from None
            raise _refused(error, name) from None

    def annotate(self, body: Body, **annotations: str | None) -> None:
        """Set annotations of this very object, None takes one away. Keys as `annotate(body, **{"a/b": "c"})`."""
        name = str(body["metadata"]["name"])
        patch = {"metadata": {"uid": body["metadata"]["uid"], "annotations": annotations}}
        try:
            self._cluster.request(
                "PATCH", path_of(name), query={"fieldManager": APPLIER}, body=patch, content_type=_MERGE
            )
        except ApiError as error:
            raise _refused(error, name) from None

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the operator has told of a tenant, the oldest first; the API server keeps them for about an hour."""
        query = {"fieldSelector": f"involvedObject.kind=Tenant,involvedObject.name={name}"}
        try:
            found = self._cluster.request("GET", "/api/v1/namespaces/default/events", query=query).get("items") or []
        except ApiError as error:
            raise _refused(error, name) from None
        return sorted(found, key=lambda one: (str(one.get("lastTimestamp")), str(one["metadata"]["resourceVersion"])))

    def heartbeat(self) -> str | None:
        """What moves while an operator is at work; "" while there is none, None for whom may not look."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases/{LEASE}"
        try:
            spec = (self._cluster.get(path) or {}).get("spec") or {}
        except ApiError:
            return None
        return f"{spec.get('holderIdentity')} {spec.get('renewTime')}" if spec.get("holderIdentity") else ""

    def _adopt(self, body: dict[str, Any] | None, *, everybody: bool) -> dict[str, Any] | None:
        """The object, with what stands in its spec noted as applied by us, so that it goes with the file's next line
        that goes: what we wrote, and for `everybody` what anybody did. Nothing that it says changes."""
        for _ in range(_TRIES):
            entries = adopted(body, everybody=everybody) if body is not None else None
            if body is None or entries is None:
                return body
            name = str(body["metadata"]["name"])
            met = {"uid": body["metadata"]["uid"], "resourceVersion": body["metadata"]["resourceVersion"]}
            change = {"metadata": {**met, "managedFields": entries}}
            try:
                return self._cluster.request(
                    "PATCH", path_of(name), query={"fieldManager": APPLIER}, body=change, content_type=_MERGE
                )
            except ApiError as error:
                if error.status != 409:
                    raise _refused(error, name) from None
            body = self.get(name)  # the operator told something of it meanwhile
        raise Conflict("the tenant is changed again and again", where=PLURAL, hint="run the command again")

    @staticmethod
    def _require_ours(present: Body, file: TenantFile, would: Body) -> None:
        """Raises Conflict where the object would say more than the file: somebody else holds what the file lacks."""
        wanted, found = (one.tenant.spec.model_dump(mode="json", by_alias=True) for one in (file, file_of(would)))
        kept = difference(found, wanted)
        if kept:
            raise _not_ours(file, owners(present, list(kept)) or owners(present), [f"spec.{name}" for name in kept])

    def _apply(self, name: str, body: Body, *, force: bool, dry_run: bool = False) -> dict[str, Any]:
        query = {
            "fieldManager": APPLIER,
            "force": "true" if force else "",
            "dryRun": "All" if dry_run else "",
            "fieldValidation": "Strict",
        }
        return self._cluster.request("PATCH", path_of(name), query=query, body=body, content_type=_APPLY)


def file_of(body: Mapping[str, Any]) -> TenantFile:
    """The object as a tenant file: what people wrote of it, without what the API server and we added."""
    metadata = body["metadata"]
    kept = {"name": metadata["name"]}
    if metadata.get("labels"):
        kept["labels"] = metadata["labels"]
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != _LAST_APPLIED}
    if annotations:
        kept["annotations"] = annotations
    content = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": kept, "spec": body.get("spec")}
    document = Document(source=f"tenant/{metadata['name']}", text=json.dumps(content, indent=1), content=content)
    return TenantFile(tenant=validate(document, Tenant, noun="the Tenant object"), document=document)


def _not_ours(file: TenantFile, others: Sequence[str], fields: Sequence[str]) -> Conflict:
    return Conflict(
        f"tenant {file.tenant.metadata.name} was changed by {' and '.join(others)}"
        + (f", who wrote {', '.join(fields)}" if fields else ""),
        where=file.source,
        hint="change it there, or have this file's values with --take-over",
    )


def _refused(error: ApiError, name: str, *, file: TenantFile | None = None) -> TenantryError:
    if error.status == 404:
        return DependencyUnavailable(
            "the cluster does not know Tenants", where=name or None, hint="set the cell up: `tenantry cell up`"
        )
    if error.status == 403:
        return DependencyUnavailable(
            f"the API server does not allow it: {error}",
            where=name or None,
            hint="ask for the ClusterRole that lets you write Tenants (docs/operator.md)",
        )
    if error.status in (400, 422):
        problems = tuple(
            Problem(path=str(one.get("field") or ""), message=str(one.get("message") or "")) for one in error.causes
        )
        return InvalidInput(
            f"the API server does not accept tenant {name}" + ("" if problems else f": {error}"),
            source=file.source if file else name,
            problems=problems,
            hint="nothing was changed",
        )
    return RunFailed(f"the API server refuses ({error.status}): {error}", where=name or None)
