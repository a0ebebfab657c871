"""Waiting for the operator: until what was asked for stands, and not for one that is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from tenantry.cli import declaring
from tenantry.cli.declaring import follow
from tenantry.fleet.tenant_objects import TenantObjects
from tenantry.tenancy.errors import DependencyUnavailable


class Objects:
    """Objects of which each look gives the next; the last stays. beats: the Lease, in the same way."""

    def __init__(self, *bodies: dict[str, Any] | None, beats: Sequence[str | None] = ("",)) -> None:
        self._bodies, self._beats = list(bodies), list(beats)

    def get(self, _name: str) -> dict[str, Any] | None:
        return self._bodies.pop(0) if len(self._bodies) > 1 else self._bodies[0]

    def heartbeat(self) -> str | None:
        return self._beats.pop(0) if len(self._beats) > 1 else self._beats[0]


def body(*, observed: int = 1, ready: bool = True) -> dict[str, Any]:
    conditions = [
        {"type": "Ready", "status": str(ready), "reason": "ModulesReady", "message": "", "observedGeneration": 1},
        {"type": "Reconciling", "status": "False", "reason": "Settled", "message": ""},
        {"type": "Stalled", "status": "False", "reason": "NotStalled", "message": ""},
    ]
    return {
        "metadata": {"name": "acme", "generation": 1},
        "status": {"observedGeneration": observed, "phase": "Ready", "conditions": conditions},
    }


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaring, "_POLL_S", 0.001)
    monkeypatch.setattr(declaring, "_UNSEEN_S", 0.01)


def ends(objects: Objects, *, gone_ends: bool = True, timeout_s: float = 30) -> list[tuple[bool, bool]]:
    """For each end: whether the object is there, and whether its wish is reached."""
    found = follow(
        cast(TenantObjects, objects),
        ["acme"],
        timeout_s=timeout_s,
        tell=lambda _name, _standing: None,
        until=lambda _body, standing: standing.reached,
        gone_ends=gone_ends,
    )
    return [(bool(seen), standing.reached) for _, seen, standing in found]


def test_it_ends_when_the_wish_is_reached() -> None:
    assert ends(Objects(body(observed=0), body(ready=False), body())) == [(True, True)]


def test_an_object_that_goes_ends_it_unless_it_is_expected_back() -> None:
    assert ends(Objects(body(ready=False), None)) == [(False, False)]
    assert ends(Objects(body(ready=False), None, body()), gone_ends=False) == [(True, True)]


def test_it_ends_at_its_time_with_what_there_is() -> None:
    assert ends(Objects(body(ready=False)), timeout_s=0) == [(True, False)]


def test_nobody_at_work_is_said_when_the_lease_stands_still() -> None:
    with pytest.raises(DependencyUnavailable, match="no operator is at work"):
        ends(Objects(body(observed=0), beats=["operator-1 10:00"]))


def test_an_operator_that_is_only_busy_is_waited_for() -> None:
    beats = [f"operator-1 10:00:{second:02}" for second in range(60)]
    assert ends(Objects(*[body(observed=0)] * 40, body(), beats=beats)) == [(True, True)]


def test_whoever_may_not_see_the_lease_waits_for_the_time() -> None:
    assert ends(Objects(*[body(observed=0)] * 40, body(), beats=[None])) == [(True, True)]
