"""Tenants that the schema lets through and that make no sense, and objects that somebody meddles with."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tenantry.engine.cluster import ApiError
from tests.integration.operator.conftest import Operated

TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  displayName: Somebody
  owner: somebody@example.com
  plan: starter
  environment: test
  deletionPolicy: delete
  backup: {{enabled: false}}
  {more}
"""


def manifest(name: str, more: str = "") -> str:
    return TENANT.format(name=name, more=more)


def raw(operated: Operated, name: str, **spec: Any) -> None:
    """By the API server alone, as kubectl does."""
    wanted = {"displayName": "Somebody", "owner": "somebody@example.com", "plan": "starter", "environment": "test"}
    body = {"apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": wanted | spec}
    operated.admin.request("POST", "/apis/tenantry.dev/v1alpha1/tenants", body=body)


def test_what_makes_no_sense_is_stalled_with_what_to_change_and_heals_with_it(operated: Operated) -> None:
    name = f"x{secrets.token_hex(4)}"
    raw(operated, name, plan="platinum", modules={"wbe": {"enabled": True}}, expiresOn="2020-01-01")
    said = operated.stalled(name)
    for expected in ("spec.plan", "platinum", "starter"):
        assert expected in said
    operated.patch(name, {"spec": {"plan": "starter"}})
    said = operated.stalled(name)
    assert "spec.modules" in said
    assert "did you mean web?" in said
    operated.patch(name, {"spec": {"modules": None, "expiresOn": None}})
    operated.ready(name)
    operated.delete_now(name)


def test_nothing_is_made_of_a_tenant_whose_origin_is_not_there(operated: Operated) -> None:
    name = f"x{secrets.token_hex(4)}"
    operated.apply(manifest(name, "origin: {tenant: nobody}"))
    assert "spec.origin.tenant: this cell has no tenant nobody" in operated.stalled(name)
    selector = {"labelSelector": f"tenantry.dev/tenant={name}"}
    assert operated.admin.request("GET", "/api/v1/namespaces", query=selector)["items"] == []
    operated.patch(name, {"spec": {"origin": None}})
    operated.ready(name)
    operated.delete_now(name)


def test_a_new_tenant_whose_backup_is_not_there_asks_for_a_hand(operated: Operated) -> None:
    origin, name = (f"x{secrets.token_hex(4)}" for _ in range(2))
    operated.apply(manifest(origin).replace("{enabled: false}", "{enabled: true}"))
    operated.ready(origin)
    operated.apply(manifest(name, f"origin: {{tenant: {origin}, backup: 20200101T000000Z-0a0a0a0a}}"))
    assert "its data did not come: there is no backup 20200101T000000Z-0a0a0a0a" in operated.stalled(name)
    for one in (name, origin):
        operated.delete_now(one)


def test_a_release_that_is_not_there_is_said_before_the_window_opens_and_the_next_wish_heals_it(
    operated: Operated,
) -> None:
    name = f"x{secrets.token_hex(4)}"
    operated.apply(manifest(name, "maintenanceWindow: Sun 01:00-03:00 Europe/Berlin"))
    running = operated.ready(name)["status"]["release"]
    operated.patch(name, {"metadata": {"annotations": {"tenantry.dev/upgrade": "9.9.9"}}})
    assert "no release 9.9.9" in operated.stalled(name)
    operated.patch(name, {"metadata": {"annotations": {"tenantry.dev/upgrade": f"{running} now"}}})
    operated.ready(name)
    operated.patch(name, {"spec": {"release": "6.0.7"}})
    assert "does not go back" in operated.stalled(name)
    operated.patch(name, {"spec": {"release": None}})
    operated.ready(name)
    operated.delete_now(name)


def test_a_host_has_one_tenant_and_the_other_gets_it_when_that_is_gone(operated: Operated) -> None:
    first, second = (f"x{secrets.token_hex(4)}" for _ in range(2))
    host = f"{first}.example.org"
    operated.apply(manifest(first, f"hosts: [{host}]"))
    operated.ready(first)
    operated.apply(manifest(second, f"hosts: [{host}]"))
    said = operated.stalled(second)
    assert f"host {host} belongs to tenant {first}" in said
    operated.delete_now(first)
    assert operated.ready(second)["status"]["hosts"] == [host]

    # A status that somebody edits is put right again.
    before = operated.objects.require(second)["status"]
    forged = [
        {**one, "status": "False", "reason": "Forged", "message": "not at all"} if one["type"] == "Ready" else one
        for one in before["conditions"]
    ]
    operated.patch(
        second, {"status": {"phase": "Forged", "incarnation": "aaaaaaaa", "conditions": forged}}, part="/status"
    )
    repaired = operated.wait(second, lambda body, _: body["status"]["phase"] == before["phase"], "repaired")
    assert repaired["status"]["incarnation"] == before["incarnation"]
    assert {one["type"]: one["reason"] for one in repaired["status"]["conditions"]} == {
        one["type"]: one["reason"] for one in before["conditions"]
    }
    operated.delete_now(second)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"environment": "production"}, "environment cannot change"),
        ({"workload": "shlink"}, "workload cannot change"),
        ({"placement": {"residency": "eu"}}, "placement.residency cannot change"),
        ({"database": {"tier": "dedicated"}}, "database.tier cannot change"),
        ({"modules": {"web": {"replicas": {"min": 3, "max": 2}}}}, "min is larger than max"),
        ({"placement": {"cell": "tests", "region": "local"}}, "cell and region exclude each other"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_the_api_server_itself_refuses(operated: Operated, change: dict[str, Any], said: str) -> None:
    name = "refused"
    if operated.objects.get(name) is None:
        raw(operated, name, plan="nothing-is-made")
    body = {"spec": change}
    with pytest.raises(ApiError, match=said):
        operated.admin.request(
            "PATCH",
            f"/apis/tenantry.dev/v1alpha1/tenants/{name}",
            query={"fieldValidation": "Strict", "dryRun": "All"},
            body=body,
            content_type="application/merge-patch+json",
        )
