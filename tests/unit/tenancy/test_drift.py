"""What is said of drift, and when it is put back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tenantry.tenancy.conditions import Reason, Status
from tenantry.tenancy.drift import Drift, Finding, What, condition_of, told, wants_mending
from tenantry.tenancy.spec import DriftPolicy

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
CHANGED = Finding(what=What.CHANGED, kind="ConfigMap", name="settings", fields=("data.host", "data.port"))
GONE = Finding(what=What.GONE, kind="NetworkPolicy", name="deny")
LOST = Finding(what=What.LOST, kind="Schema", name="tenant")
FOREIGN = Finding(what=What.FOREIGN, kind="RoleBinding", name="mine")


@pytest.mark.parametrize(
    ("drift", "policy", "status", "reason", "says"),
    [
        pytest.param(None, "repair", Status.FALSE, Reason.AS_RECORDED, "nothing is known", id="nothing was ever found"),
        pytest.param(
            Drift(findings=(CHANGED, GONE), found_at=NOON),
            "repair",
            Status.TRUE,
            Reason.REPAIRING,
            "ConfigMap settings: data.host, data.port changed; NetworkPolicy deny is gone",
            id="what is found is told field by field",
        ),
        pytest.param(
            Drift(findings=(CHANGED,), found_at=NOON),
            "report",
            Status.TRUE,
            Reason.CHANGED_OUTSIDE,
            "driftPolicy is report",
            id="a tenant that only reports says what to do",
        ),
        pytest.param(
            Drift(findings=(FOREIGN,), found_at=NOON),
            "repair",
            Status.TRUE,
            Reason.CHANGED_OUTSIDE,
            "delete it if nobody needs it",
            id="what somebody else made is not ours to delete",
        ),
        pytest.param(
            Drift(findings=(LOST, GONE), found_at=NOON),
            "repair",
            Status.TRUE,
            Reason.DATA_LOST,
            "Restore it from a backup",
            id="lost data outweighs the rest",
        ),
        pytest.param(
            Drift(mended=(GONE,), mended_at=NOON),
            "repair",
            Status.FALSE,
            Reason.REPAIRED,
            "put back 2026-05-01 12:00 UTC: NetworkPolicy deny is gone",
            id="what was put back is told",
        ),
    ],
)
def test_the_condition_tells_the_truth(
    drift: Drift | None, policy: str, status: Status, reason: Reason, says: str
) -> None:
    found = condition_of(drift, DriftPolicy(policy))
    assert (found.status, found.reason) == (status, reason)
    assert says in found.message


@pytest.mark.parametrize(
    ("findings", "policy", "wanted"),
    [
        pytest.param((CHANGED,), "repair", True, id="a change is put back"),
        pytest.param((CHANGED,), "report", False, id="not where the tenant says so"),
        pytest.param((LOST, FOREIGN), "repair", False, id="neither what is lost nor what others made"),
        pytest.param((LOST, GONE), "repair", True, id="the rest is, beside what is lost"),
    ],
)
def test_only_what_can_be_put_back_is(findings: tuple[Finding, ...], policy: str, wanted: bool) -> None:
    assert wants_mending(Drift(findings=findings), DriftPolicy(policy)) is wanted


def test_a_long_list_is_cut_short() -> None:
    many = [Finding(what=What.GONE, kind="ConfigMap", name=f"c{number}") for number in range(11)]
    assert told(many).endswith("ConfigMap c7 is gone; and 3 more")


def test_a_journal_is_read_as_it_was_written() -> None:
    drift = Drift(findings=(CHANGED, LOST), found_at=NOON, mended=(GONE,), mended_at=NOON)
    assert Drift.model_validate(drift.model_dump(mode="json")) == drift
