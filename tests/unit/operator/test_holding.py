"""Operations that have touched a tenant hold others back until they have ended, and no longer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from tenantry.engine import EmbeddedEngine
from tenantry.engine.cluster import Cluster
from tenantry.fleet import Fleet, Record
from tenantry.releasing import Releasing
from tenantry.tenancy.catalogue import Catalogue
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status
from tenantry.tenancy.drift import Drift, Finding, What
from tenantry.tenancy.errors import Conflict, Locked
from tenantry.tenancy.lifecycle import Expiry, Stage, Verb
from tenantry.tenancy.recovery import Goal, Restoration
from tenantry.tenancy.release import Release, Step, Version
from tenantry.tenancy.spec import Hold
from tenantry_operator.actions.drift import CheckDrift, open_cases
from tenantry_operator.actions.restore import Restore
from tenantry_operator.contract import Cancellation, Context
from tenantry_operator.drifting import Suspicions
from tenantry_operator.holding import closed_by, held_by
from tenantry_operator.metrics import Metrics

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
LOADING = Restoration(asked="latest", goal=Goal(), requested_at=NOW)
STOPPED = LOADING.model_copy(update={"replicas": {"web": 2}})
RESTORED = STOPPED.model_copy(update={"ended_at": NOW})
CHANGED = Finding(what=What.CHANGED, kind="Service", name="web", fields=("spec.type",))
NEXT = Version(release="2", template_version=1)


@pytest.fixture
def context(cell: Cell, catalogue: Catalogue, tmp_path: Path) -> Context:
    """A tenant that was made, of which no journal tells anything yet."""
    fleet = Fleet(cell=cell, engine=EmbeddedEngine(), catalogue=catalogue, root=tmp_path)
    record = Record(
        name="acme",
        incarnation="abcd2345",
        managed_by="kubectl",
        created_at=NOW,
        finished_at=NOW,
        source="acme.yaml",
        manifest="",
        hosts=(),
        release="1",
        template_version=1,
        environment="production",
        plan="growth",
        namespace="t-acme-abcd2345",
    )
    fleet.registry.claim(record)
    return Context(
        name=record.name,
        incarnation=record.incarnation,
        namespace=record.namespace,
        body={"metadata": {"name": record.name}},
        file=None,
        spec=None,
        record=record,
        modules=None,
        expiry=Expiry(stage=Stage.NONE, next_at=None),
        fleet=fleet,
        kubernetes=cast(Cluster, None),  # nothing here may ask it
        operations=fleet.operations(record.namespace),
        cancelled=Cancellation(),
        progress=lambda _: None,
        now=NOW,
    )


def note(context: Context, kind: str, restoration: Restoration) -> None:
    context.operations.put(kind, restoration.model_dump(mode="json"))


def release(context: Context) -> Release:
    """One that has taken hold of the tenant."""
    assert context.record is not None
    asked = Release(
        name=context.name,
        incarnation=context.incarnation,
        namespace=context.namespace,
        before=context.record.running,
        after=NEXT,
        by="tests",
        requested_at=NOW,
    )
    under_way = asked.beginning(Step.PAUSE, NOW)
    context.fleet.releases.put(under_way)
    return under_way


@pytest.mark.parametrize(
    ("restoration", "releasing", "verb"),
    [
        pytest.param(None, False, None, id="nothing is under way"),
        pytest.param(LOADING, False, None, id="a restore that loads beside what runs"),
        pytest.param(STOPPED, False, Verb.RESTORE, id="a restore that has stopped the workload"),
        pytest.param(RESTORED, False, None, id="a restore that has ended"),
        pytest.param(None, True, Verb.RELEASE, id="a release"),
        pytest.param(LOADING, True, Verb.RELEASE, id="a release, for which a restore waits"),
        pytest.param(STOPPED, True, Verb.RESTORE, id="both, of which a restore ends first"),
    ],
)
def test_who_holds_a_tenant(
    context: Context, restoration: Restoration | None, releasing: bool, verb: Verb | None
) -> None:
    if restoration is not None:
        note(context, "restore", restoration)
    if releasing:
        release(context)
    assert held_by(context) is verb


@pytest.mark.parametrize(
    ("restoration", "hold", "closed"),
    [
        pytest.param(None, Hold.NONE, None, id="nothing is under way"),
        pytest.param(LOADING, Hold.NONE, None, id="a restore that loads beside what runs"),
        pytest.param(STOPPED, Hold.NONE, ConditionType.RESTORED, id="a restore that has stopped the workload"),
        pytest.param(RESTORED, Hold.NONE, None, id="a restore that has ended"),
        pytest.param(None, Hold.PAUSED, None, id="a release that pauses schedules only"),
        pytest.param(None, Hold.MIGRATING, ConditionType.RELEASED, id="a release that migrates"),
        pytest.param(None, Hold.PROVING, ConditionType.RELEASED, id="a release that nobody reaches yet"),
    ],
)
def test_what_keeps_a_workload_closed(
    context: Context, restoration: Restoration | None, hold: Hold, closed: ConditionType | None
) -> None:
    assert context.record is not None
    context = replace(context, record=context.record.model_copy(update={"hold": hold}))
    if restoration is not None:
        note(context, "restore", restoration)
    told = [
        Condition(type=one, status=Status.FALSE, reason=Reason.WORKING, message="")
        for one in (ConditionType.RELEASED, ConditionType.RESTORED)
    ]
    found = closed_by(context, told)
    assert (found and found.type) is closed


@pytest.mark.parametrize(
    ("status", "closed"),
    [
        pytest.param(Status.TRUE, True, id="under way"),
        pytest.param(Status.FALSE, False, id="refused"),
    ],
)
def test_a_deletion_keeps_a_workload_closed(context: Context, status: Status, closed: bool) -> None:
    told = Condition(type=ConditionType.DELETING, status=status, reason=Reason.GRACE_PERIOD, message="")
    assert closed_by(context, [told]) is (told if closed else None)


def test_no_release_is_asked_for_or_goes_on_while_a_restore_has_stopped_the_workload(context: Context) -> None:
    note(context, "restore", STOPPED)
    releasing = Releasing(context.fleet)
    with pytest.raises(Conflict, match="restore of acme is under way"):
        releasing.request(context.name, NEXT, by="tests")
    before = release(context)
    with pytest.raises(Conflict, match="restore of acme is under way"):
        releasing.advance(context.name)
    assert context.fleet.releases.get(context.namespace) == before


@pytest.mark.parametrize(
    ("kind", "journal", "checked"),
    [
        pytest.param("restore", LOADING.model_dump(mode="json"), False, id="a restore"),
        pytest.param("restore", RESTORED.model_dump(mode="json"), True, id="a restore that has ended"),
        pytest.param("origin", LOADING.model_dump(mode="json"), False, id="a first filling"),
        pytest.param("origin", RESTORED.model_dump(mode="json"), True, id="a first filling that has ended"),
        pytest.param("deprovision", {"name": "acme"}, False, id="a deletion"),
    ],
)
def test_a_tenant_is_looked_at_for_drift_again_after_what_changed_it_on_purpose(
    context: Context, kind: str, journal: dict[str, Any], checked: bool
) -> None:
    suspicions = Suspicions()
    suspicions.add(context.name, ("Service web: spec.type changed",))
    context.operations.put(kind, journal)
    assert (CheckDrift(suspicions, Metrics()).claim(context) is not None) is checked
    if not checked:
        with pytest.raises(Conflict, match=f"a {kind} of acme is under way"):
            context.fleet.mend(context.name)


def test_a_restore_and_the_putting_back_of_drift_exclude_each_other(context: Context) -> None:
    """In a cell with an operator too people put drift back by the command line."""
    with context.fleet.releases.exclusive(context.name):
        with pytest.raises(Locked):
            Restore().act(context)
        with pytest.raises(Locked):
            context.fleet.mend(context.name)


@pytest.mark.parametrize(
    ("drift", "stands"),
    [
        pytest.param(None, False, id="nothing was ever found"),
        pytest.param(Drift(findings=(CHANGED,), found_at=NOW), True, id="something is otherwise"),
        pytest.param(Drift(found_at=NOW, mended=(CHANGED,), mended_at=NOW), False, id="it was put back"),
    ],
)
def test_only_a_tenant_at_which_drift_stands_is_looked_at_each_time(
    context: Context, drift: Drift | None, stands: bool
) -> None:
    if drift is not None:
        context.operations.put("drift", drift.model_dump(mode="json"))
    assert (context.name in open_cases(context.fleet)) is stands


def test_a_damaged_journal_is_looked_at(context: Context) -> None:
    context.operations.put("drift", {})
    (file,) = context.fleet.folder.rglob("drift.json")
    file.write_text("{")
    assert open_cases(context.fleet) == (context.name,)
