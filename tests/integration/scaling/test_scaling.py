"""Real messages and rows raise replicas and lower them again; plans, suspension and expiry, by the object alone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenantry.tenancy.conditions import ConditionType
from tests.integration.scaling.conftest import Operated

_IDLE = {"idle": "zero"}
_TABLE = (
    "CREATE TABLE messenger_messages (id BIGINT AUTO_INCREMENT PRIMARY KEY, body LONGTEXT NOT NULL, "
    "queue_name VARCHAR(190) NOT NULL, INDEX (queue_name))"
)
_ROWS = "INSERT INTO messenger_messages (body, queue_name) SELECT 'x', 'email' FROM seq_1_to_{}"


@pytest.fixture(scope="module")
def queued(operated: Operated) -> str:
    """A tenant with a virtual host of its own."""
    return operated.create(plan="growth")


def test_messages_in_rabbitmq_raise_replicas_and_their_end_lowers_them(operated: Operated, queued: str) -> None:
    vhost = operated.names(queued).messaging_vhost
    operated.publish(vhost, "email", 501)
    operated.until(lambda: operated.replicas(queued)["messaging-email"] == 2)
    operated.until(lambda: operated.told(queued, "messaging-email").get("replicas") == 2)
    told = operated.told(queued, "messaging-email")
    assert (told["why"], told["basis"]) == ("messages 501, 500 a replica", "Demand")
    assert operated.replicas(queued)["scoring"] == 1, "other modules have other queues"
    operated.purge(vhost, "email")
    operated.until(lambda: operated.replicas(queued)["messaging-email"] == 1)
    operated.until(lambda: operated.told(queued, "messaging-email").get("basis") == "PlanMinimum")
    scaled = operated.events(queued, "Scaled")
    assert sorted(one.split(":")[0] for one in scaled) == [
        "Scaled messaging-email from 1 to 2",
        "Scaled messaging-email from 2 to 1",
    ], "one event a transition"


def test_a_new_tenant_is_ready_once_and_with_all_its_replicas(operated: Operated) -> None:
    name = operated.create(plan="starter", modules={"messaging-email": {"replicas": {"min": 2, "max": 2}}})
    assert operated.replicas(name)["messaging-email"] == 2
    operated.until(lambda: operated.settled(name))
    (ready,) = operated.events(name, "ModulesReady")
    assert "every module runs as wanted" in ready


def test_rows_of_the_database_transport_raise_replicas_up_to_the_plan(operated: Operated) -> None:
    name = operated.create(plan="starter", modules={"messaging-email": {"replicas": {"min": 1, "max": 2}}})
    operated.sql(name, _TABLE, _ROWS.format(5000))
    operated.until(lambda: operated.replicas(name)["messaging-email"] == 2)
    operated.until(lambda: operated.told(name, "messaging-email").get("cappedBy") == "PlanMaximum")
    assert operated.condition(name, ConditionType.SCALING_LIMITED) == "True"
    operated.sql(name, "DELETE FROM messenger_messages")
    operated.until(lambda: operated.replicas(name)["messaging-email"] == 1)
    operated.until(lambda: operated.condition(name, ConditionType.SCALING_LIMITED) is None)


def test_idle_to_zero_and_back_on_demand(operated: Operated, queued: str) -> None:
    vhost = operated.names(queued).messaging_vhost
    operated.edit(queued, scaling=_IDLE)
    operated.until(lambda: operated.replicas(queued)["messaging-email"] == 0)
    assert operated.replicas(queued)["web"] >= 1, "what is not measured from outside stays"
    operated.publish(vhost, "email", 1)
    operated.until(lambda: operated.replicas(queued)["messaging-email"] == 1)
    operated.purge(vhost, "email")
    operated.edit(queued, scaling=None)
    operated.until(lambda: operated.settled(queued) and operated.replicas(queued)["scoring"] == 1)


def test_by_hand_goes_before_the_load_and_takes_the_module_from_its_autoscaler(operated: Operated, queued: str) -> None:
    operated.edit(queued, modules={"scoring": {"scale": 3}, "web": {"scale": 1}})
    operated.until(lambda: operated.settled(queued) and operated.replicas(queued)["scoring"] == 3)
    operated.until(lambda: operated.replicas(queued)["web"] == 1)
    operated.edit(queued, modules=None)
    operated.until(lambda: operated.replicas(queued)["scoring"] == 1)
    operated.until(lambda: operated.replicas(queued)["web"] == 2)


def test_nothing_is_written_while_nothing_changes(operated: Operated, queued: str) -> None:
    def version() -> str:
        return str(operated.body(queued)["metadata"]["resourceVersion"])

    def at_rest() -> bool:
        """Pods that have just been asked for still become ready, which is told."""
        before = version()
        time.sleep(2)
        return operated.settled(queued) and version() == before

    operated.until(at_rest)
    before = version()
    vhost = operated.names(queued).messaging_vhost
    for count in (3, 5, 7):  # below what another replica is worth: read, and not told
        operated.publish(vhost, "email", count)
        time.sleep(2)
    assert version() == before
    operated.purge(vhost, "email")


def test_what_a_campaign_narrows_is_no_drift_outlives_a_run_and_ends_with_the_calendar(
    operated: Operated, queued: str
) -> None:
    namespace = operated.names(queued).namespace

    def span() -> tuple[int, int]:
        path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/web"
        spec = operated.kubernetes.request("GET", path)["spec"]
        return spec["minReplicas"], spec["maxReplicas"]

    whole, hour = span(), datetime.now(UTC).hour
    campaign = {
        "name": "quiet",
        "start": f"0 {(hour - 1) % 24} * * *",
        "end": f"0 {(hour + 2) % 24} * * *",
        "modules": {"web": {"most": 1}},
    }
    operated.edit(queued, scaling={"calendar": [campaign]})
    operated.until(lambda: span() == (1, 1))
    operated.until(lambda: operated.settled(queued))
    assert operated.fleet.drift(queued) == ()
    operated.edit(queued, modules={"scoring": {"scale": 2}})
    operated.until(lambda: operated.settled(queued) and operated.replicas(queued)["scoring"] == 2)
    operated.until(lambda: span() == (1, 1))
    operated.edit(queued, scaling=None, modules=None)
    operated.until(lambda: span() == whole and operated.replicas(queued)["scoring"] == 1)


def test_suspended_and_resumed_with_the_replicas_that_it_had(operated: Operated, queued: str) -> None:
    operated.edit(queued, modules={"scoring": {"scale": 2}})
    operated.until(lambda: operated.settled(queued) and operated.replicas(queued)["scoring"] == 2)
    before = operated.replicas(queued)
    operated.edit(queued, suspended=True)
    operated.until(lambda: operated.settled(queued) and operated.condition(queued, ConditionType.SUSPENDED) == "True")
    namespace = operated.names(queued).namespace
    assert set(operated.replicas(queued)) == {"cache", "web"}
    ingress = operated.kubernetes.request("GET", f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/web")
    paths = [one["path"] for one in ingress["spec"]["rules"][0]["http"]["paths"]]
    assert "/" not in paths
    assert "/email/unsubscribe" in paths
    schedules = operated.kubernetes.request("GET", f"/apis/batch/v1/namespaces/{namespace}/cronjobs")["items"]
    assert [one["metadata"]["name"] for one in schedules] == ["backup"]
    operated.edit(queued, suspended=None)
    operated.until(lambda: operated.settled(queued) and operated.replicas(queued) == before)
    operated.edit(queued, modules=None)


def test_a_change_of_plan_is_refused_with_what_is_over_then_done_in_a_safe_order(
    operated: Operated, queued: str
) -> None:
    operated.until(lambda: operated.settled(queued))
    vhost, namespace = operated.names(queued).messaging_vhost, operated.names(queued).namespace
    operated.publish(vhost, "email", 3)
    operated.sql(
        queued,
        "CREATE TABLE leads (id INT PRIMARY KEY, date_identified DATETIME)",
        "INSERT INTO leads SELECT seq, NOW() FROM seq_1_to_5001",
    )
    operated.edit(queued, plan="starter", displayName="smaller")
    operated.until(lambda: operated.condition(queued, ConditionType.STALLED) == "True")
    said = operated.message(queued, ConditionType.STALLED)
    assert "5001 contacts are stored, 1 more than plan starter" in said
    assert "3 messages wait in RabbitMQ" in said
    assert _quota(operated, namespace) > 30, "nothing was changed"
    operated.purge(vhost, "email")
    operated.sql(queued, "DELETE FROM leads WHERE id > 100")
    operated.edit(queued, displayName="small enough")
    operated.until(lambda: operated.settled(queued) and _quota(operated, namespace) < 30)
    operated.until(lambda: operated.condition(queued, ConditionType.READY) == "True")
    cell = operated.fleet.catalogue.plans["starter"].spec.database.connections // 2
    record = operated.fleet.registry.get(queued)
    assert record is not None
    assert record.room["connections"] == cell
    operated.edit(queued, plan="growth")
    operated.until(lambda: operated.settled(queued) and _quota(operated, namespace) > 30)
    operated.until(lambda: operated.condition(queued, ConditionType.READY) == "True")


def test_volumes_grow_with_a_larger_plan_though_the_former_quota_has_no_room_for_them(operated: Operated) -> None:
    name = operated.create(plan="starter")
    namespace = operated.names(name).namespace

    def sizes() -> dict[str, str]:
        found = operated.kubernetes.request("GET", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims")["items"]
        return {one["metadata"]["name"]: one["spec"]["resources"]["requests"]["storage"] for one in found}

    before = sizes()
    operated.edit(name, plan="growth")
    operated.until(lambda: operated.settled(name) and sizes() != before)
    operated.until(lambda: operated.condition(name, ConditionType.READY) == "True")
    assert sizes() == {"files": "25Gi", "images": "10Gi", "imports": "5Gi"}


def _quota(operated: Operated, namespace: str) -> int:
    found = operated.kubernetes.request("GET", f"/api/v1/namespaces/{namespace}/resourcequotas/tenant")
    return int(found["spec"]["hard"]["pods"])


def test_a_test_environment_is_warned_expires_comes_back_and_is_deleted(operated: Operated) -> None:
    today = datetime.now(UTC).date()

    def day(days: int) -> str:
        return (today + timedelta(days=days)).isoformat()

    name = operated.create(plan="starter", environment="test", expiresOn=day(3), backup={"enabled": False})
    assert operated.condition(name, ConditionType.EXPIRING) == "True", "it is warned a week before"
    _made_long_ago(operated, name)
    operated.edit(name, expiresOn=day(-1))
    operated.until(lambda: operated.settled(name) and operated.replicas(name) == {})
    assert (operated.body(name)["status"])["phase"] == "Expired"
    operated.edit(name, expiresOn=day(60))
    operated.until(lambda: operated.settled(name) and operated.replicas(name).get("web") == 1)
    assert operated.condition(name, ConditionType.EXPIRING) == "False"
    operated.edit(name, expiresOn=day(-30))
    operated.until(lambda: operated.kubernetes.get(f"/apis/tenantry.dev/v1alpha1/tenants/{name}") is None)
    assert operated.fleet.registry.get(name) is None
    assert operated.fleet.deletions.tombstones(name)


def _made_long_ago(operated: Operated, name: str) -> None:
    """Let the months of a tenant's life pass."""
    registry: Any = operated.fleet.registry
    with registry.exclusive():
        record = registry.get(name)
        registry._write(record.model_copy(update={"created_at": record.created_at - timedelta(days=200)}))
