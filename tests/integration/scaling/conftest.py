"""An operator at work in a cell, as `tenantry operator run` sets it up, with hands on its load."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tenantry.engine import EmbeddedEngine
from tenantry.engine.cluster import ApiError, Cluster, connect
from tenantry.fleet import Fleet
from tenantry.fleet.gauges import Gauges
from tenantry.local import LocalPlatform
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.conditions import ConditionType, read
from tenantry.tenancy.naming import names
from tenantry.tenancy.schema import crd
from tenantry.tenancy.spec import Names
from tenantry_components.providers.credential import cell_login
from tenantry_components.providers.mariadb_server import server
from tenantry_components.providers.rabbitmq_server import Management
from tenantry_operator.actions import all_actions
from tenantry_operator.drifting import Suspicions
from tenantry_operator.metrics import Metrics
from tenantry_operator.objects import Tenants, path_of
from tenantry_operator.queueing import Queue
from tenantry_operator.reconciling import Reconciler
from tenantry_operator.sampling import Sampler

PATIENCE_S = 180.0
_LOWER_AFTER_S = 3
_MERGE = "application/merge-patch+json"


@dataclass(slots=True, kw_only=True)
class Operated:
    """A cell whose operator runs in this process."""

    fleet: Fleet
    kubernetes: Cluster
    rabbitmq: Management

    def create(self, *, plan: str, environment: str = "production", **spec: Any) -> str:
        """Apply a Tenant that nobody has had, and wait until it is Ready."""
        name = f"x{secrets.token_hex(4)}"
        fields = {"displayName": "X", "owner": "x@example.com", "plan": plan, "environment": environment, **spec}
        body = {
            "apiVersion": "tenantry.dev/v1alpha1",
            "kind": "Tenant",
            "metadata": {"name": name},
            "spec": fields,
        }
        self.kubernetes.request("POST", path_of("").rstrip("/"), body=body)
        self.until(lambda: self.condition(name, ConditionType.READY) == "True")
        return name

    def edit(self, name: str, **spec: Any) -> None:
        self.kubernetes.request("PATCH", path_of(name), body={"spec": spec}, content_type=_MERGE)

    def settled(self, name: str) -> bool:
        """The present generation was acted on, and nothing is under way."""
        body = self.body(name)
        seen = (body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"]
        return seen and self.condition(name, ConditionType.RECONCILING) == "False"

    def body(self, name: str) -> dict[str, Any]:
        found = self.kubernetes.get(path_of(name))
        assert found is not None
        return found

    def condition(self, name: str, kind: ConditionType) -> str | None:
        found = read((self.body(name).get("status") or {}).get("conditions") or (), kind)
        return None if found is None else str(found["status"])

    def message(self, name: str, kind: ConditionType) -> str:
        found = read((self.body(name).get("status") or {}).get("conditions") or (), kind)
        return "" if found is None else str(found["message"])

    def names(self, name: str) -> Names:
        record = self.fleet.registry.get(name)
        assert record is not None
        return names(name, record.incarnation)

    def replicas(self, name: str) -> dict[str, int]:
        path = f"/apis/apps/v1/namespaces/{self.names(name).namespace}/deployments"
        listed = self.kubernetes.request("GET", path)["items"]
        return {one["metadata"]["name"]: one["spec"].get("replicas", 1) for one in listed}

    def told(self, name: str, module: str) -> dict[str, Any]:
        modules = (self.body(name).get("status") or {}).get("modules") or ()
        return next((one for one in modules if one["name"] == module), {})

    def events(self, name: str, reason: str) -> list[str]:
        query = {"fieldSelector": f"involvedObject.name={name},reason={reason}"}
        listed = self.kubernetes.request("GET", "/api/v1/namespaces/default/events", query=query)["items"]
        return [str(one["message"]) for one in listed]

    def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if holds():
                    return
            except ApiError as error:
                if error.status != 404:
                    raise
            assert time.monotonic() < deadline, f"it never came true; tenants: {json.dumps(self.standings())}"
            time.sleep(0.2)

    def standings(self) -> dict[str, Any]:
        """Status of every Tenant."""
        listed = self.kubernetes.request("GET", path_of("").rstrip("/"))["items"]
        return {one["metadata"]["name"]: one.get("status") for one in listed}

    def publish(self, vhost: str, queue: str, count: int) -> None:
        """Real messages into a real queue."""
        status, _ = self.rabbitmq.request("PUT", "queues", vhost, queue, body={"durable": True})
        assert status in (201, 204)
        message = {"properties": {}, "routing_key": queue, "payload": "x", "payload_encoding": "string"}

        def send(_number: int) -> int:
            return self.rabbitmq.request("POST", "exchanges", vhost, "amq.default", "publish", body=message)[0]

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(send, range(count))) == {200}

    def purge(self, vhost: str, queue: str) -> None:
        self.rabbitmq.request("DELETE", "queues", vhost, queue, "contents")

    def sql(self, name: str, *statements: str) -> None:
        """In the tenant's own schema, as the provisioner."""
        database, openbao = self.fleet.cell.spec.database, self.fleet.cell.spec.openbao
        found = server(
            host=database.host, port=database.port, database_mount=openbao.database_mount, kv_mount=openbao.kv_mount
        )
        with found.session() as session:
            session.connection.select_db(self.names(name).schema)
            for statement in statements:
                session.execute(statement)


@pytest.fixture(scope="package")
def operated(prepared: Fleet, platform: LocalPlatform) -> Iterator[Operated]:
    """The prepared cell with an operator at work, this process being the provisioner."""
    spec = prepared.cell.spec.model_copy(update={"operator": True})
    with pytest.MonkeyPatch.context() as patch, EmbeddedEngine() as engine:
        for name, value in (platform.environment() | prepared.provisioner.environment()).items():
            patch.setenv(name, value)
        fleet = Fleet(
            cell=prepared.cell.model_copy(update={"spec": spec}),
            engine=engine,
            catalogue=_quicker(Catalogue.load()),
            root=prepared.folder.parents[1],
        )
        kubernetes = connect({})
        _define(kubernetes)
        tenants = Tenants(kubernetes)
        rabbitmq = Management(url=spec.messaging.management_url, login=cell_login(spec.openbao.kv_mount, "rabbitmq"))
        with _AtWork(fleet, kubernetes, tenants):
            yield Operated(fleet=fleet, kubernetes=kubernetes, rabbitmq=rabbitmq)


def _define(kubernetes: Cluster) -> None:
    """The Tenant kind, as this version has it."""
    kubernetes.request(
        "PATCH",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tenants.tenantry.dev",
        query={"fieldManager": "tests", "force": "true"},
        body=crd(),
        content_type="application/apply-patch+yaml",
    )


class _AtWork:
    """The operator's parts, put together as `running.run` does, which wants the main thread for its signals and leaves
    Kopf's connections to the end of its process. Here Tenants are listed instead of watched."""

    def __init__(self, fleet: Fleet, kubernetes: Cluster, tenants: Tenants) -> None:
        self._sampler = Sampler(Gauges(fleet.cell).read, every_s=0.5)
        metrics = Metrics()
        self._reconciler = Reconciler(
            fleet=fleet,
            kubernetes=kubernetes,
            tenants=tenants,
            actions=all_actions(sampler=self._sampler, suspicions=Suspicions(), metrics=metrics),
            metrics=metrics,
            fenced=lambda: True,
            deadline_s=300.0,
        )
        self._queue = Queue(self._reconciler.look, slots=4, sick_slots=2, long_slots=2)
        self._reconciler.queue = self._queue
        self._kubernetes = kubernetes
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._run, name="watch", daemon=True)

    def _run(self) -> None:
        known: dict[str, dict[str, Any]] = {}
        while not self._stop.wait(0.3):
            listed = self._kubernetes.request("GET", path_of("").rstrip("/"))["items"]
            found = {one["metadata"]["name"]: one for one in listed}
            for name, body in known.items():
                if found.get(name, {"metadata": {"uid": ""}})["metadata"]["uid"] != body["metadata"]["uid"]:
                    self._reconciler.seen(body, "DELETED")
            for name, body in found.items():
                version = known.get(name, {"metadata": {}})["metadata"].get("resourceVersion")
                if version != body["metadata"]["resourceVersion"]:
                    self._reconciler.seen(body, "MODIFIED")
            known = found

    def __enter__(self) -> None:
        self._queue.start()
        self._sampler.start(self._queue.add)
        self._watch.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watch.join(30)
        self._sampler.stop()
        self._queue.stop()
        self._reconciler.cancel_all("the tests are over")
        self._queue.join(60)


def _quicker(catalogue: Catalogue) -> Catalogue:
    """The same catalogue, its workers lowered after seconds instead of minutes."""
    versions = dict(catalogue.workloads["mautic"])
    for number, entry in versions.items():
        modules = tuple(
            module
            if module.scaling is None
            else module.model_copy(
                update={"scaling": module.scaling.model_copy(update={"lower_after_s": _LOWER_AFTER_S})}
            )
            for module in entry.workload.spec.modules
        )
        spec = entry.workload.spec.model_copy(update={"modules": modules})
        versions[number] = replace(entry, workload=entry.workload.model_copy(update={"spec": spec}))
    return replace(catalogue, workloads={**catalogue.workloads, "mautic": versions})
