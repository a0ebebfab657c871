"""The operator's action on a real Tenant object: asked for, taken back, deleted, taken back, deleted for good."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
import yaml

from tenantry.deprovisioning import Deprovisioning
from tenantry.engine.cluster import connect
from tenantry.fleet.operations import Operations
from tenantry.tenancy.conditions import ConditionType, Reason, Status
from tenantry.tenancy.deletion import DELETE, INCARNATION, UNDELETE
from tenantry.tenancy.errors import Conflict
from tenantry.tenancy.lifecycle import Expiry, Stage, Verb
from tenantry.tenancy.manifest import parse_tenant
from tenantry_operator.contract import Context
from tenantry_operator.deprovisioning import Deprovision
from tests.integration.deprovisioning.conftest import Made, Make, Systems, grace_is_over

TENANTS = "/apis/tenantry.dev/v1alpha1/tenants"
FINALIZER = "tenantry.dev/deprovision"
MERGE = "application/merge-patch+json"


def observed(systems: Systems, made: Made) -> Context:
    """What the operator's core sees now."""
    body = connect({}).get(f"{TENANTS}/{made.name}")
    assert body is not None
    record = systems.fleet.registry.get(made.name)
    return Context(
        name=made.name,
        incarnation=made.incarnation,
        namespace=made.names.namespace,
        body=body,
        file=parse_tenant(made.text, source="tenant.yaml"),
        spec=Deprovisioning(systems.fleet).spec_of(record) if record is not None else None,
        record=record,
        modules=None,
        expiry=Expiry(stage=Stage.NONE, next_at=None),
        fleet=systems.fleet,
        kubernetes=connect({}),
        operations=Operations(systems.fleet.folder, made.names.namespace),
        cancelled=Event(),
        progress=lambda _: None,
        now=datetime.now(UTC),
    )


def patch(made: Made, **metadata: Any) -> None:
    connect({}).request("PATCH", f"{TENANTS}/{made.name}", body={"metadata": metadata}, content_type=MERGE)


def applied(made: Made) -> None:
    body = yaml.safe_load(made.text)
    body["metadata"]["finalizers"] = [FINALIZER]
    connect({}).request("POST", TENANTS, body=body)


def deleting(context: Context) -> tuple[Status, Reason]:
    (found,) = (one for one in Deprovision().conditions(context) if one.type is ConditionType.DELETING)
    return found.status, found.reason


def test_a_tenant_object_is_deleted_taken_back_and_deleted_for_good(systems: Systems, make: Make) -> None:
    action = Deprovision()
    made = make(environment="staging", policy="backup-then-delete")
    applied(made)
    context = observed(systems, made)
    assert action.claim(context) is None
    assert action.conditions(context) == ()

    patch(made, annotations={DELETE: "requested"})
    context = observed(systems, made)
    claim = action.claim(context)
    assert claim is not None
    assert (claim.verb, claim.at) == (Verb.DEPROVISION, context.now)
    stopped = Event()
    stopped.set()
    assert "stopped" in action.act(replace(context, cancelled=stopped)).sentence
    outcome = action.act(context)
    assert outcome.sentence.startswith("in its grace period")
    assert outcome.again_after is not None
    assert timedelta(days=6) < outcome.again_after <= timedelta(days=7)
    assert not outcome.release_finalizer
    assert deleting(observed(systems, made)) == (Status.TRUE, Reason.GRACE_PERIOD)
    waiting = action.claim(observed(systems, made))
    assert waiting is not None
    assert waiting.at > context.now + timedelta(days=6)

    patch(made, annotations={DELETE: None})
    assert "taken back" in action.act(observed(systems, made)).sentence
    context = observed(systems, made)
    assert action.claim(context) is None
    assert action.conditions(context) == ()

    connect({}).request("DELETE", f"{TENANTS}/{made.name}")
    before = observed(systems, made)
    assert before.deleting
    assert action.act(before).sentence.startswith("in its grace period")
    patch(made, annotations={UNDELETE: "requested"})
    assert "taken back" in action.act(observed(systems, made)).sentence
    anew = observed(systems, made)
    assert not anew.deleting
    assert anew.body["metadata"]["uid"] != before.body["metadata"]["uid"]
    assert anew.body["metadata"]["annotations"] == {INCARNATION: made.incarnation}
    assert anew.body["spec"] == before.body["spec"]
    assert anew.record is not None
    assert anew.record.incarnation == made.incarnation
    edited = {**anew.body, "metadata": {"name": made.name}, "spec": {**anew.body["spec"], "displayName": "Edited"}}
    edited.pop("status", None)
    connect({}).request(
        "PATCH",
        f"{TENANTS}/{made.name}",
        query={"fieldManager": "tenantry", "dryRun": "All"},
        body=edited,
        content_type="application/apply-patch+yaml",
    )  # as `kubectl apply --server-side` does: no conflict

    patch(made, finalizers=[FINALIZER])
    connect({}).request("DELETE", f"{TENANTS}/{made.name}")
    action.act(observed(systems, made))
    grace_is_over(systems.fleet.deletions, made.name)
    ended = action.act(observed(systems, made))
    assert ended.release_finalizer
    assert "its certificate is" in ended.sentence
    # A restart between the certificate and the finalizer finds nothing to do but to let the object go.
    assert action.act(observed(systems, made)).release_finalizer
    patch(made, finalizers=[])
    assert connect({}).get(f"{TENANTS}/{made.name}") is None
    assert len(systems.fleet.deletions.tombstones(made.name)) == 1


def test_a_protected_tenants_object_stays_and_says_why(systems: Systems, make: Make) -> None:
    made = make(environment="staging", policy="protect")
    applied(made)
    connect({}).request("DELETE", f"{TENANTS}/{made.name}")
    with pytest.raises(Conflict, match="protected"):
        Deprovision().act(observed(systems, made))
    assert systems.fleet.registry.get(made.name) is not None
    context = observed(systems, made)
    assert deleting(context) == (Status.FALSE, Reason.REFUSED)
    patch(made, annotations={UNDELETE: "requested"})
    assert "taken back" in Deprovision().act(observed(systems, made)).sentence
    assert not observed(systems, made).deleting
