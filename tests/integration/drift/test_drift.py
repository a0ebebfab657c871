"""Things changed and deleted behind a tenant's back, in each system: found by one look at the cell, told field by
field, put back or left alone as the tenant says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Event
from typing import Any

from tenantry.drift import Survey
from tenantry.engine.cluster import connect
from tenantry.fleet import Fleet
from tenantry.fleet.operations import Operations
from tenantry.tenancy.conditions import Reason, Status
from tenantry.tenancy.drift import What
from tenantry.tenancy.lifecycle import Expiry, Stage, Verb
from tenantry.tenancy.manifest import parse_tenant
from tenantry_operator.actions.drift import CheckDrift, open_cases
from tenantry_operator.contract import Cancellation, Context
from tenantry_operator.drifting import DriftWatch, Suspicions
from tenantry_operator.metrics import Metrics
from tests.integration.deprovisioning.conftest import Made, Make, Systems

MERGE = "application/merge-patch+json"


class Behind:
    """Somebody with rights of their own in the tenant's systems."""

    def __init__(self, systems: Systems, made: Made) -> None:
        self.systems = systems
        self.names = made.names
        self.cluster = connect({})

    def path(self, group: str, plural: str, name: str = "") -> str:
        return f"/{group}/namespaces/{self.names.namespace}/{plural}" + (f"/{name}" if name else "")

    def first(self, group: str, plural: str) -> dict[str, Any]:
        items = self.cluster.request("GET", self.path(group, plural))["items"]
        return next(one for one in items if "tenantry.dev/tenant" in (one["metadata"].get("labels") or {}))

    def patch(self, group: str, plural: str, name: str, change: Mapping[str, Any]) -> None:
        self.cluster.request("PATCH", self.path(group, plural, name), body=change, content_type=MERGE)

    def change_everything(self) -> set[tuple[What, str, tuple[str, ...]]]:
        """What a look must then tell, less the names."""
        settings = self.first("api/v1", "configmaps")
        key = next(iter(settings["data"]))
        self.patch("api/v1", "configmaps", settings["metadata"]["name"], {"data": {key: "mine"}})
        fence = self.first("apis/networking.k8s.io/v1", "networkpolicies")
        self.cluster.request(
            "DELETE", self.path("apis/networking.k8s.io/v1", "networkpolicies", fence["metadata"]["name"])
        )
        # Nothing that we send is otherwise, and yet it guards nothing any more.
        narrowed = {"podSelector": {"matchLabels": {"x": "y"}}}
        self.patch("apis/networking.k8s.io/v1", "networkpolicies", "default-deny", {"spec": narrowed})
        binding = self.first("apis/rbac.authorization.k8s.io/v1", "rolebindings")
        everybody = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}]
        self.patch(
            "apis/rbac.authorization.k8s.io/v1", "rolebindings", binding["metadata"]["name"], {"subjects": everybody}
        )
        schema = self.names.schema.replace("_", "\\_")
        self.systems.as_provisioner(f"REVOKE DELETE ON `{schema}`.* FROM '{self.names.account_a}'@'%'")
        self.systems.as_provisioner(f"DROP USER '{self.names.account_b}'@'%'")
        self.systems.openbao.write(
            f"database/static-roles/{self.names.database_role_a}",
            db_name="shared",
            username=self.names.account_a,
            rotation_period=86_400,
        )
        hole = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "hole", "namespace": self.names.namespace},
            "spec": {"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]},
        }
        self.cluster.request("POST", self.path("apis/networking.k8s.io/v1", "networkpolicies"), body=hole)
        return {
            (What.CHANGED, "ConfigMap", (f"data.{key}",)),
            (What.GONE, "NetworkPolicy", ()),
            (What.CHANGED, "NetworkPolicy", ("spec.podSelector.matchLabels",)),
            (What.CHANGED, "RoleBinding", ("subjects[0].name",)),
            (What.CHANGED, "Account", ("grants",)),
            (What.GONE, "Account", ()),
            (What.CHANGED, "DatabaseStaticRole", ("rotation_days",)),
            (What.FOREIGN, "NetworkPolicy", ()),
        }

    def scale(self, replicas: int) -> str:
        name = str(self.first("apis/apps/v1", "deployments")["metadata"]["name"])
        path = self.path("apis/apps/v1", "deployments", name) + "/scale"
        self.cluster.request("PATCH", path, body={"spec": {"replicas": replicas}}, content_type=MERGE)
        return name


def told_of(fleet: Fleet, made: Made) -> set[tuple[What, str, tuple[str, ...]]]:
    return {(one.what, one.kind, one.fields) for one in fleet.drift(made.name)}


def observed(fleet: Fleet, made: Made, *, policy: str) -> Context:
    text = f"{made.text}  driftPolicy: {policy}\n"
    return Context(
        name=made.name,
        incarnation=made.incarnation,
        namespace=made.names.namespace,
        body={"metadata": {"name": made.name}},
        file=parse_tenant(text, source="tenant.yaml"),
        spec=None,
        record=fleet.registry.get(made.name),
        modules=None,
        expiry=Expiry(stage=Stage.NONE, next_at=None),
        fleet=fleet,
        kubernetes=connect({}),
        operations=Operations(fleet.folder, made.names.namespace),
        cancelled=Cancellation(),
        progress=lambda _: None,
        now=datetime.now(UTC),
    )


def look(fleet: Fleet) -> tuple[CheckDrift, list[str]]:
    """A look at the cell: the action that knows of it, and who was woken."""
    suspicions, metrics, woken = Suspicions(), Metrics(), list[str]()
    watch = DriftWatch(
        Survey(fleet, connect({})),
        suspicions,
        interval_s=60,
        wake=woken.append,
        open_cases=lambda: open_cases(fleet),
        metrics=metrics,
    )
    watch.look()
    return CheckDrift(suspicions, metrics), woken


def test_nothing_is_found_and_nothing_written_where_nothing_was_changed(fleet: Fleet, make: Make) -> None:
    made = make()
    state = (fleet.backend / ".pulumi" / "stacks" / "tenantry" / f"{made.name}.json").read_bytes()
    found = Survey(fleet, connect({})).run(Event())
    assert made.name not in found.suspected
    assert fleet.drift(made.name) == ()
    assert fleet.mend(made.name) == ()
    assert (fleet.backend / ".pulumi" / "stacks" / "tenantry" / f"{made.name}.json").read_bytes() == state


def test_what_is_changed_behind_its_back_is_told_field_by_field_and_put_back(
    systems: Systems, fleet: Fleet, make: Make
) -> None:
    made = make()
    behind = Behind(systems, made)
    scaled = behind.scale(3)
    assert look(fleet)[0].claim(observed(fleet, made, policy="repair")) is None, "replicas are an autoscaler's"

    expected = behind.change_everything()
    action, woken = look(fleet)
    assert made.name in woken
    assert told_of(fleet, made) == expected

    context = observed(fleet, made, policy="repair")
    claim = action.claim(context)
    assert claim is not None
    assert claim.verb is Verb.DRIFT
    assert "changed behind its back" in action.act(context).sentence
    (found,) = action.conditions(context)
    assert (found.status, found.reason) == (Status.TRUE, Reason.REPAIRING)
    assert action.claim(context) is not None
    assert action.act(context).sentence.startswith("put back")
    assert told_of(fleet, made) == {(What.FOREIGN, "NetworkPolicy", ())}, "what others made is never deleted"
    assert action.claim(context) is None, "no fight over it"

    hole = behind.path("apis/networking.k8s.io/v1", "networkpolicies", "hole")
    behind.cluster.request("DELETE", hole)
    action, woken = look(fleet)
    assert made.name in woken, "a case that is open is looked at again"
    action.act(context)
    assert action.claim(context) is None
    (settled,) = action.conditions(context)
    assert settled.status is Status.FALSE
    deployment = behind.cluster.get(behind.path("apis/apps/v1", "deployments", scaled))
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 3
    for role in (made.names.database_role_a, made.names.database_role_b):
        login = systems.openbao.read(f"database/static-creds/{role}")["data"]
        assert systems.sql("SELECT CURRENT_USER()", login["username"], login["password"])
    assert made.name not in look(fleet)[1]


def test_a_tenant_that_only_reports_is_left_as_it_is(systems: Systems, fleet: Fleet, make: Make) -> None:
    made = make()
    expected = Behind(systems, made).change_everything()
    action, _ = look(fleet)
    context = observed(fleet, made, policy="report")
    action.act(context)
    assert action.claim(context) is None
    (found,) = action.conditions(context)
    assert (found.status, found.reason) == (Status.TRUE, Reason.CHANGED_OUTSIDE)
    assert "RoleBinding" in found.message
    assert "driftPolicy is report" in found.message
    assert told_of(fleet, made) == expected


def test_what_is_lost_with_its_data_is_never_made_anew(systems: Systems, fleet: Fleet, make: Make) -> None:
    made = make()
    systems.as_provisioner(f"DROP DATABASE `{made.names.schema}`")
    systems.openbao.write(f"transit/keys/{made.names.transit_key}/config", deletion_allowed=True)
    systems.openbao.delete(f"transit/keys/{made.names.transit_key}")
    action, woken = look(fleet)
    assert made.name in woken
    context = observed(fleet, made, policy="repair")
    action.act(context)
    assert action.claim(context) is None
    (found,) = action.conditions(context)
    assert (found.status, found.reason) == (Status.TRUE, Reason.DATA_LOST)
    assert {(one.what, one.kind) for one in fleet.drift(made.name)} == {
        (What.LOST, "Schema"),
        (What.LOST, "TransitKey"),
    }
    fleet.mend(made.name)
    assert systems.openbao.read(f"transit/keys/{made.names.transit_key}") is None
    assert not systems.as_provisioner(f"SHOW DATABASES LIKE '{made.names.schema}'")
