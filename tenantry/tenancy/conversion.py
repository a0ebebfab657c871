"""From one version of the Tenant API to another. Pure; `tenantry_operator.converting` serves it to the API server.

Every version is converted by way of one, the hub, so that a new version needs two functions and not two for each of the
others. A conversion changes `spec` and `status` alone and loses nothing: what the hub has no field for is kept in an
annotation by whoever writes the two functions.

To add a version: a `Version` with its two functions in `TENANT_VERSIONS`, its schema in `schema.crd_versions`, and a
line in docs/adr. Then `tenantry cell up`, and once every object is stored in it, `tenantry cell migrate-storage`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tenantry.tenancy.errors import InvalidInput, TenantryError

__all__ = ["TENANT_VERSIONS", "Conversions", "Version"]

_KEPT = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "finalizers")

Body = Mapping[str, Any]


def _same(body: Body) -> dict[str, Any]:
    return dict(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """name: such as v1beta1. to_hub, from_hub: take and give a whole object; they need not set its apiVersion."""

    name: str
    to_hub: Callable[[Body], dict[str, Any]] = _same
    from_hub: Callable[[Body], dict[str, Any]] = _same


class Conversions:
    """The versions of one API group. hub: the name of the version by way of which all others are converted."""

    def __init__(self, group: str, *, hub: str, versions: Sequence[Version]) -> None:
        self._group = group
        self._hub = hub
        self._versions = {one.name: one for one in versions}
        if hub not in self._versions:
            raise ValueError(f"the hub {hub} is none of {', '.join(self._versions)}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._versions)

    def convert(self, body: Body, wanted: str) -> dict[str, Any]:
        """The object in another version. wanted: such as `tenantry.dev/v1beta1`.

        Raises InvalidInput for versions that are not known.
        """
        source, target = self._version(str(body.get("apiVersion"))), self._version(wanted)
        if source is target:
            return dict(body)
        at_hub = body if source.name == self._hub else {**source.to_hub(body), "apiVersion": self._path(self._hub)}
        made = dict(at_hub) if target.name == self._hub else target.from_hub(at_hub)
        made["apiVersion"] = wanted
        before, after = body["metadata"], made["metadata"]
        for key in _KEPT:
            if before.get(key) != after.get(key):
                raise InvalidInput(f"a conversion to {wanted} changes metadata.{key}", source=str(before.get("name")))
        return made

    def review(self, review: Body) -> dict[str, Any]:
        """The answer to a ConversionReview: all of its objects, or why none."""
        request: Mapping[str, Any] = review.get("request") or {}
        answer: dict[str, Any] = {"uid": str(request.get("uid") or "")}
        try:
            wanted = str(request.get("desiredAPIVersion"))
            answer["convertedObjects"] = [self.convert(one, wanted) for one in request.get("objects") or ()]
            answer["result"] = {"status": "Success"}
        except (TenantryError, KeyError, TypeError, ValueError) as error:
            answer["convertedObjects"] = []
            answer["result"] = {"status": "Failure", "message": f"{type(error).__name__}: {error}"}
        return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": answer}

    def _version(self, api_version: str) -> Version:
        group, _, name = api_version.rpartition("/")
        if group != self._group or name not in self._versions:
            known = ", ".join(self._path(one) for one in self._versions)
            raise InvalidInput(
                f"{api_version} is no version that this Tenantry knows", source="apiVersion", hint=f"it knows {known}"
            )
        return self._versions[name]

    def _path(self, name: str) -> str:
        return f"{self._group}/{name}"


TENANT_VERSIONS = Conversions("tenantry.dev", hub="v1alpha1", versions=[Version(name="v1alpha1")])
