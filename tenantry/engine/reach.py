"""What a run reaches: the clusters that its providers name, and its recorded secrets, opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tenantry.engine.checkpoint import Recorded
from tenantry.engine.cluster import connect
from tenantry.engine.desired import DesiredResource
from tenantry.engine.kubernetes_resources import KubernetesResources, Reference, reference_of
from tenantry.engine.properties import plain
from tenantry.engine.sealing import Sealer

__all__ = ["Reach"]


@dataclass(slots=True, kw_only=True)
class Reach:
    """recorded: the checkpoint's resources and, marked pending, what a killed run began. sealer: None before a
    stack's first save."""

    recorded: Mapping[str, Recorded]
    sealer: Sealer | None
    threads: ThreadPoolExecutor
    _clusters: dict[str, KubernetesResources] = field(default_factory=dict)

    def connect(self, resources: Iterable[DesiredResource]) -> None:
        """Connect to the clusters that recorded and wanted providers name."""
        self._clusters.clear()
        for name, one in self.recorded.items():
            if one.type == "pulumi:providers:kubernetes":
                inputs = plain(self.opened(one.raw.get("inputs") or {}))
                self._clusters[name] = KubernetesResources(connect(inputs), self.threads)
        for wanted in resources:
            if wanted.type == "pulumi:providers:kubernetes":
                self._clusters[wanted.urn] = KubernetesResources(connect(plain(dict(wanted.inputs))), self.threads)
        if any(one.is_kubernetes for one in self.recorded.values()) and not self._clusters:
            self._clusters[""] = KubernetesResources(connect({}), self.threads)

    def cluster(self, provider: str | None) -> KubernetesResources:
        """The cluster behind a provider's URN."""
        return self._clusters[provider or ""]

    def cluster_of(self, recorded: Recorded) -> KubernetesResources:
        return self._clusters[self.provider_of(recorded)]

    @property
    def first_provider(self) -> str:
        """URN of the cluster's provider, "" when the state names none."""
        return next(iter(self._clusters), "")

    def provider_of(self, one: DesiredResource | Recorded) -> str:
        """URN of the provider whose cluster a resource is in."""
        name = one.provider_urn or ""
        return name if name in self._clusters else self.first_provider

    def opened(self, raw: Any) -> Any:
        return self.sealer.open(raw) if self.sealer is not None else raw

    def reference_of(self, recorded: Recorded) -> Reference:
        """Where a recorded Kubernetes object stands."""
        return reference_of(plain(self.opened(recorded.raw.get("inputs") or {})))

    def references(self) -> dict[str, Reference]:
        """Where the recorded Kubernetes objects stand, by URN."""
        return {name: self.reference_of(one) for name, one in self.recorded.items() if one.is_kubernetes}

    def observe(
        self, new: Mapping[str, Reference], old: Mapping[str, Reference], wanted: Mapping[str, DesiredResource]
    ) -> dict[Reference, dict[str, Any]]:
        """What lives at these places. new, old: places by URN, of wanted and of recorded resources."""
        by_cluster: dict[str, set[Reference]] = {}
        for name, reference in new.items():
            by_cluster.setdefault(self.provider_of(wanted[name]), set()).add(reference)
        for name, reference in old.items():
            by_cluster.setdefault(self.provider_of(self.recorded[name]), set()).add(reference)
        found: dict[Reference, dict[str, Any]] = {}
        for provider, references in by_cluster.items():
            own = {one.name for one in references if one.kind == "Namespace" and one.api_version == "v1"}
            found.update(self._clusters[provider].observe(references, own))
        ending = {
            one.name
            for one, live in found.items()
            if one.kind == "Namespace" and live["metadata"].get("deletionTimestamp")
        }
        # What is in a namespace that is going away is as good as gone.
        return {one: live for one, live in found.items() if one.namespace not in ending}
