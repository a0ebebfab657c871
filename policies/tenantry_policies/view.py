"""How rules see resources, the same whether an engine of ours or the Pulumi CLI shows them. Pure.

Inputs may be the CLI's read-only views, which are Mappings and Sequences but no dicts and lists, and which raise when a
rule looks at a value that is not known yet: rules never compare whole containers by `==`, and look at a value only
when they judge it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

__all__ = [
    "CELL",
    "ENVIRONMENT",
    "HELD",
    "INCARNATION",
    "POD_OWNERS",
    "TENANT",
    "Resource",
    "Stack",
    "items",
    "mapping",
    "named",
]

TENANT = "tenantry.dev/tenant"
INCARNATION = "tenantry.dev/incarnation"
ENVIRONMENT = "tenantry.dev/environment"
HELD = "tenantry.dev/held"
"""On a schedule that a release under way has paused."""
CELL = "tenantry.dev/cell"

POD_OWNERS = ("CronJob", "DaemonSet", "Deployment", "Job", "Pod", "ReplicaSet", "ReplicationController", "StatefulSet")

_DYNAMIC = "pulumi-python:dynamic/"
_NAMESPACE_PREFIX = "t-"


def mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is a mapping, an empty one for anything else."""
    # Asking for the exact type first is what most values need, at a tenth of the cost.
    return value if type(value) is dict or isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    """The value where it is a list, an empty one for anything else."""
    return value if type(value) is list or (isinstance(value, Sequence) and not isinstance(value, str | bytes)) else ()


def named(values: Mapping[str, Any], key: str) -> bool:
    """Whether the key is there, without looking at its value, which may not be known yet."""
    return any(key == one for one in values)


@dataclass(frozen=True, kw_only=True)  # no slots: what is derived is kept
class Resource:
    """One resource as a program asks for it.

    protect: the option, its parent's included. refers: URNs of what it depends on; only stack rules may rely on it.
    """

    urn: str
    type: str
    name: str
    inputs: Mapping[str, Any]
    protect: bool = False
    refers: frozenset[str] = frozenset()

    @cached_property
    def key(self) -> str:
        """What rules are chosen by: `Deployment` (Kubernetes), `tenantry:Schema` (ours), else the type token."""
        if self.is_kubernetes:
            return self.type.rpartition(":")[2]
        return self.type.removeprefix(_DYNAMIC)

    @property
    def title(self) -> str:
        return f"{self.type.rpartition(':')[2]} {self.name}"

    @property
    def is_kubernetes(self) -> bool:
        return self.type.startswith("kubernetes:")

    @property
    def is_aws(self) -> bool:
        return self.type.startswith("aws:")

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        return mapping(self.inputs.get("metadata"))

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        return mapping(self.inputs.get("spec"))

    @cached_property
    def labels(self) -> Mapping[str, Any]:
        return mapping(self.metadata.get("labels"))

    @cached_property
    def annotations(self) -> Mapping[str, Any]:
        return mapping(self.metadata.get("annotations"))

    @cached_property
    def namespace(self) -> str:
        """The namespace that a Kubernetes object stands in; of a Namespace, itself; "" for others."""
        if not self.is_kubernetes:
            return ""
        return str(self.metadata.get("name" if self.key == "Namespace" else "namespace") or "")

    @cached_property
    def is_cells(self) -> bool:
        """Whether it belongs to the cell. A label alone does not lift an object of a tenant's namespace out of it."""
        return named(self.labels, CELL) and not self.namespace.startswith(_NAMESPACE_PREFIX)

    @cached_property
    def pod(self) -> Mapping[str, Any]:
        """The specification of the pods that it makes, empty where it makes none."""
        if not self.is_kubernetes or self.key not in POD_OWNERS:
            return {}
        spec = self.spec
        if self.key == "Pod":
            return spec
        if self.key == "CronJob":
            spec = mapping(mapping(spec.get("jobTemplate")).get("spec"))
        return mapping(mapping(spec.get("template")).get("spec"))

    @cached_property
    def containers(self) -> tuple[Mapping[str, Any], ...]:
        kinds = ("initContainers", "containers", "ephemeralContainers")
        return tuple(mapping(one) for kind in kinds for one in items(self.pod.get(kind)))

    @cached_property
    def tags(self) -> Mapping[str, Any]:
        """Tags of an AWS resource, its provider's default tags included where these are known."""
        return mapping(self.inputs.get("tagsAll")) or mapping(self.inputs.get("tags"))


@dataclass(frozen=True, kw_only=True)  # no slots: what is derived is kept
class Stack:
    """All resources of one stack."""

    resources: tuple[Resource, ...]

    @cached_property
    def _by_key(self) -> Mapping[str, tuple[Resource, ...]]:
        found: dict[str, list[Resource]] = {}
        for one in self.resources:
            found.setdefault(one.key, []).append(one)
        return {key: tuple(ones) for key, ones in found.items()}

    def of(self, *keys: str) -> Iterator[Resource]:
        for key in keys:
            yield from self._by_key.get(key, ())

    @cached_property
    def namespaces(self) -> Mapping[str, Resource]:
        return {one.namespace: one for one in self.of("Namespace")}

    @cached_property
    def tenant(self) -> Resource | None:
        """The tenant's namespace, None in any other stack."""
        return next((one for one in self.of("Namespace") if named(one.labels, TENANT) and not one.is_cells), None)

    @property
    def keeps_data(self) -> bool:
        """Whether somebody's data is in it: all but a tenant's test environment."""
        return self.tenant is None or self.tenant.labels.get(ENVIRONMENT) != "test"
