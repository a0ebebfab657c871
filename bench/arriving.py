"""New tenants by Tenant objects, and how long each takes until it is ready, seen by a watch."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tenantry.engine.cluster import Cluster
from tenantry.fleet.tenant_objects import TenantObjects
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.schema import GROUP, PLURAL, VERSION
from tenantry.tenancy.standing import standing_of

__all__ = ["TENANT", "Arrivals", "Times", "percentile"]

TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec: {{displayName: Bench, owner: bench@example.com, plan: starter}}
"""
_AT_ONCE = 32
_LIMIT_S = 600.0
"""Without any tenant becoming ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds from the object's writing until it is ready, of tenants that came one after another; each, too."""

    p50_s: float
    p99_s: float
    each_s: tuple[float, ...]

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Times:
        return cls(
            p50_s=round(percentile(seconds, 50), 2),
            p99_s=round(percentile(seconds, 99), 2),
            each_s=tuple(round(one, 2) for one in seconds),
        )


def percentile(values: Sequence[float], percent: int) -> float:
    """percent: 1 to 99. Between two values it is interpolated."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


class Arrivals:
    """Writes Tenants and watches them. Close it."""

    def __init__(self, cluster: Cluster) -> None:
        self._objects = TenantObjects(cluster)
        self._api = client.CustomObjectsApi(client.ApiClient(cluster.configuration))
        self._watch = watch.Watch()  # type: ignore[no-untyped-call]
        self._closed = False
        self._changed = threading.Condition()
        self._ready: dict[str, float] = {}
        """When each was first seen ready, by the monotonic clock."""
        self._doing: dict[str, str] = {}
        self._thread = threading.Thread(target=self._serve, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._watch.stop()  # type: ignore[no-untyped-call]

    def write(self, name: str) -> Mapping[str, Any]:
        """The object as it was written."""
        return self._objects.apply(parse_tenant(TENANT.format(name=name), source="bench"), driver="cli")

    def wait(self, names: Collection[str]) -> None:
        """Until all are ready. Raises TimeoutError when none has become ready for long."""
        with self._changed:
            while missing := [one for one in names if one not in self._ready]:
                more = partial(self._more_than, len(self._ready))
                if not self._changed.wait_for(more, _LIMIT_S):
                    raise TimeoutError(f"not ready: {', '.join(f'{one} ({self._doing.get(one)})' for one in missing)}")

    def _more_than(self, count: int) -> bool:
        return len(self._ready) > count

    def fill(self, names: Sequence[str], *, seconds: float) -> int:
        """Write them, some at once, for so long at most, and wait until all that were written are ready: how many."""
        deadline, written = time.monotonic() + seconds, 0
        while written < len(names) and time.monotonic() < deadline:
            self.write(names[written])
            written += 1
            if written >= _AT_ONCE:
                self.wait(names[: written - _AT_ONCE + 1])
        self.wait(names[:written])
        return written

    def is_ready(self, name: str) -> bool:
        with self._changed:
            return name in self._ready

    def one_after_another(self, names: Iterable[str]) -> Times:
        seconds = []
        for name in names:
            began = time.monotonic()
            self.write(name)
            self.wait([name])
            seconds.append(self._ready[name] - began)
        return Times.of(seconds)

    def _serve(self) -> None:
        while not self._closed:
            try:
                events = self._watch.stream(  # type: ignore[no-untyped-call]
                    self._api.list_cluster_custom_object, GROUP, VERSION, PLURAL
                )
                for event in events:
                    self._seen(event["object"])
            except (ApiException, HTTPError) as error:
                # Too old a version to go on from: from the list again.
                if not self._closed and getattr(error, "status", None) != 410:
                    raise

    def _seen(self, body: Mapping[str, Any]) -> None:
        now, standing, name = time.monotonic(), standing_of(body), str(body["metadata"]["name"])
        with self._changed:
            self._doing[name] = standing.doing
            if standing.reached and name not in self._ready:
                self._ready[name] = now
                self._changed.notify_all()
