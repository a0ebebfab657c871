"""The operator as a process of its own: releases by the object alone, killed in the middle, and a roll-out by rings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantry.engine.cluster import connect
from tenantry.fleet import Fleet
from tenantry.tenancy.conditions import ConditionType, read
from tenantry.tenancy.release import End, Step
from tenantry.tenancy.rollout import GROUP_PATH
from tenantry.tenancy.upgrading import UPGRADE
from tests.integration.releasing.conftest import FIRST, SECOND, TENANT

TENANTS = "/apis/tenantry.dev/v1alpha1/tenants"
MERGE = "application/merge-patch+json"
WITHIN_S = 300.0
_OPERATOR = """
import sys
from pathlib import Path
from tenantry.engine import EmbeddedEngine
from tenantry.fleet import Fleet
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.manifest import load_cell
from tenantry_operator.running import Settings, configure_logs, run
cell, root, templates = (Path(one) for one in sys.argv[1:])
configure_logs()
fleet = Fleet(cell=load_cell(cell), engine=EmbeddedEngine(), catalogue=Catalogue.load(templates), root=root)
sys.exit(run(fleet, Settings(port=0, slots=4)))
"""


def until(told: str, holds: Callable[[], Any]) -> Any:
    """What the call gives, once it gives something true."""
    pause = threading.Event()
    for _ in range(int(WITHIN_S / 0.2)):
        found = holds()
        if found:
            return found
        pause.wait(0.2)
    standings = {one["metadata"]["name"]: one.get("status") for one in connect({}).request("GET", TENANTS)["items"]}
    raise AssertionError(f"not within {WITHIN_S:.0f} s: {told}; tenants: {json.dumps(standings)}")


class Operator:
    """Started, killed and started again."""

    def __init__(self, fleet: Fleet, templates: Path, log: Path) -> None:
        root = fleet.folder.parents[1]
        self._command = [sys.executable, "-c", _OPERATOR, os.environ["TENANTRY_CELL"], str(root), str(templates)]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def end(self, how: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(90)


@pytest.fixture(scope="module")
def operator(fleet: Fleet, templates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    running = Operator(fleet, templates, tmp_path_factory.mktemp("operator") / "operator.log")
    running.start()
    try:
        yield running
    finally:
        running.end(signal.SIGTERM)


def body(name: str) -> Mapping[str, Any]:
    found = connect({}).get(f"{TENANTS}/{name}")
    assert found is not None
    return found


def condition(name: str, kind: ConditionType) -> tuple[str, str]:
    found = read((body(name).get("status") or {}).get("conditions") or (), kind) or {}
    return str(found.get("status")), str(found.get("reason"))


def patch(name: str, change: Mapping[str, Any]) -> None:
    connect({}).request("PATCH", f"{TENANTS}/{name}", body=change, content_type=MERGE)


@contextmanager
def applied(*names: str) -> Iterator[None]:
    """Tenants by their objects, at the first release and pinned to none; deleted at the end. No backups are scheduled
    for them: a release keeps their databases aside all the same."""
    cluster = connect({})
    for name in names:
        document = yaml.safe_load(TENANT.format(name=name))
        document["spec"] |= {"environment": "test", "deletionPolicy": "delete", "graceDays": 0}
        document["spec"] |= {"release": "1.0", "backup": {"enabled": False}}
        cluster.request("POST", TENANTS, body=document)
    try:
        for name in names:
            until(f"{name} is Ready", lambda name=name: condition(name, ConditionType.READY)[0] == "True")
            patch(name, {"spec": {"release": None}})
        yield
    finally:
        for name in names:
            cluster.request("DELETE", f"{TENANTS}/{name}")
        for name in names:
            until(f"{name} is gone", lambda name=name: cluster.get(f"{TENANTS}/{name}") is None)


def test_killed_in_the_middle_of_a_release_the_next_operator_finishes_it(fleet: Fleet, operator: Operator) -> None:
    with applied("kill"):
        assert condition("kill", ConditionType.RELEASED) == ("True", "RunsAsWanted")
        namespace = fleet.record("kill").namespace
        patch("kill", {"metadata": {"annotations": {UPGRADE: "2.0"}}})
        for step in (Step.DRAIN, Step.MIGRATE, Step.OPEN):
            until(
                f"{step} has begun",
                lambda step=step: (found := fleet.releases.get(namespace)) is not None and found.has_begun(step),
            )
            assert operator.end(signal.SIGKILL) == -signal.SIGKILL
            operator.start()
        until("it is released", lambda: condition("kill", ConditionType.RELEASED) == ("True", "RunsAsWanted"))
        status = body("kill")["status"]
        assert (status["release"], status["lastGoodRelease"], status["upgradeHeeded"]) == ("2.0", "2.0", "2.0")
        last = fleet.releases.get(namespace)
        assert last is not None
        assert last.end is End.RELEASED
        assert fleet.record("kill").installed == SECOND.at(fleet.record("kill").hold)
        until("it is Ready", lambda: condition("kill", ConditionType.READY)[0] == "True")
        # What cannot be had is said, and nothing is touched.
        patch("kill", {"metadata": {"annotations": {UPGRADE: "1.0 please"}}})
        until("it is Stalled", lambda: condition("kill", ConditionType.STALLED) == ("True", "InvalidSpec"))
        assert fleet.record("kill").running == SECOND


def test_a_rollout_goes_by_rings_and_leaves_out_who_pins(fleet: Fleet, operator: Operator) -> None:
    del operator
    cluster = connect({})
    with applied("ring-a", "ring-b", "pinned"):
        patch("pinned", {"spec": {"release": "1.0"}})
        until("the pin is known", lambda: '"release"' in fleet.record("pinned").manifest)
        rings = [{"name": "own", "tenants": ["ring-b"]}, {"name": "all", "percent": 100}]
        spec = {"workload": "courier", "release": "2.0", "rings": rings}
        made = {"apiVersion": "tenantry.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "spring"}, "spec": spec}
        cluster.request("POST", GROUP_PATH, body=made)
        try:
            status = until("the roll-out is done", lambda: ended("spring"))
            assert status["phase"] == "Done"
            assert status["failures"] == []
            assert fleet.record("ring-a").running == fleet.record("ring-b").running == SECOND
            assert fleet.record("pinned").running == FIRST
            releases = [fleet.releases.get(fleet.record(name).namespace) for name in ("ring-b", "ring-a")]
            first, second = (one for one in releases if one is not None)
            assert first.by == second.by == "rollout spring"
            assert first.ended_at is not None
            assert second.requested_at >= first.ended_at
        finally:
            cluster.request("DELETE", f"{GROUP_PATH}/spring")


def ended(name: str) -> Mapping[str, Any] | None:
    found = connect({}).get(f"{GROUP_PATH}/{name}") or {}
    status: Mapping[str, Any] = found.get("status") or {}
    return status if status.get("phase") in ("Done", "Halted", "Aborted") else None
