"""What a release keeps from running: schedules, workers, traffic, and at which step of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tenantry.engine.desired import Desired
from tenantry.tenancy.spec import Hold, TenantSpec

Run = Callable[[TenantSpec], Desired]


@pytest.mark.parametrize(
    ("hold", "runs", "suspended", "open_"),
    [
        pytest.param(Hold.NONE, {"install", "migrate", "web", "mail"}, False, True, id="nothing is held"),
        pytest.param(Hold.PAUSED, {"install", "migrate", "web", "mail"}, True, True, id="only schedules are paused"),
        pytest.param(Hold.STOPPED, set(), True, False, id="nothing runs"),
        pytest.param(Hold.MIGRATING, {"install", "migrate"}, True, False, id="only the tasks run"),
        pytest.param(Hold.PROVING, {"install", "migrate", "web"}, True, False, id="no worker takes a message"),
    ],
)
def test_what_runs_and_who_gets_in(
    spec: TenantSpec, registered: Run, hold: Hold, runs: set[str], suspended: bool, open_: bool
) -> None:
    found = [one.inputs for one in registered(replace(spec, hold=hold)).resources if one.is_kubernetes]
    component = "app.kubernetes.io/component"
    running = {
        one["metadata"]["labels"][component] for one in found if one["kind"] in ("Deployment", "Job")
    } - {"database", "cache"}  # fmt: skip
    assert running == runs
    schedules = [one for one in found if one["kind"] == "CronJob"]
    assert len(schedules) == 2
    assert {one["spec"].get("suspend", False) for one in schedules} == {suspended}
    (web,) = (one for one in found if one["kind"] == "Service" and one["metadata"]["name"] == "web")
    assert (web["spec"]["selector"].keys() == {component, "app.kubernetes.io/name"}) is open_


def test_hosts_certificates_and_data_never_go(spec: TenantSpec, registered: Run) -> None:
    def lasting(hold: Hold) -> set[tuple[str, str]]:
        found = [one.inputs for one in registered(replace(spec, hold=hold)).resources if one.is_kubernetes]
        kinds = ("ConfigMap", "Ingress", "PersistentVolumeClaim", "Service", "StatefulSet")
        return {(one["kind"], one["metadata"]["name"]) for one in found if one["kind"] in kinds}

    assert len({frozenset(lasting(hold)) for hold in Hold}) == 1
