"""From what is known of a tenant to its status."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status, read
from tenantry.tenancy.lifecycle import Expiry, Stage
from tenantry.tenancy.spec import Activity
from tenantry_operator.contract import ModuleState
from tenantry_operator.rendering import Known, status_of

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
RESTORING = Condition(
    type=ConditionType.RESTORED, status=Status.FALSE, reason=Reason.RESTORING, message="it is being brought back"
)
RELEASING = Condition(
    type=ConditionType.RELEASED, status=Status.FALSE, reason=Reason.RELEASING, message="on its way: step drain"
)
DELETING = Condition(
    type=ConditionType.DELETING, status=Status.TRUE, reason=Reason.GRACE_PERIOD, message="closed, all data kept"
)


def known(closed_by: Condition | None, activity: Activity = Activity.RUNNING, wanted: int = 0) -> Known:
    return Known(
        generation=1,
        names={},
        made=True,
        current=True,
        activity=activity,
        modules=(ModuleState(name="web", ready=0, wanted=wanted),),
        expiry=Expiry(stage=Stage.NONE, next_at=None),
        expires_on=None,
        simulated=True,
        deleting=False,
        trouble=None,
        working=None,
        closed_by=closed_by,
        more=(),
    )


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        pytest.param(known(None), Status.TRUE, Reason.MODULES_READY, id="scaled to zero, all is as wanted"),
        pytest.param(known(RESTORING), Status.FALSE, Reason.RESTORING, id="stopped by a restore"),
        pytest.param(known(RELEASING), Status.FALSE, Reason.RELEASING, id="held by a release"),
        pytest.param(known(RELEASING, wanted=1), Status.FALSE, Reason.RELEASING, id="held, whatever its modules are"),
        pytest.param(known(DELETING), Status.FALSE, Reason.GRACE_PERIOD, id="closed by its deletion"),
        pytest.param(
            known(RESTORING, Activity.SUSPENDED), Status.FALSE, Reason.BY_SPEC, id="suspended, which lasts longer"
        ),
    ],
)
def test_a_tenant_that_is_kept_closed_is_not_ready(found: Known, status: Status, reason: Reason) -> None:
    ready = read(status_of(found, {}, NOW)["conditions"], ConditionType.READY)
    assert ready is not None
    assert (ready["status"], ready["reason"]) == (status.value, reason.value)
    if found.closed_by is not None and reason is found.closed_by.reason:
        assert ready["message"] == found.closed_by.message
