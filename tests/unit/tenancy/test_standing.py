"""Where a Tenant stands, for whoever waits: reached, in trouble, or under way."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.tenancy.errors import (
    Conflict,
    DependencyUnavailable,
    InvalidInput,
    Locked,
    RunFailed,
    StateCorrupt,
    TenantryError,
    Unsupported,
)
from tenantry.tenancy.standing import standing_of


def body(
    *conditions: tuple[str, str, str], generation: int = 3, observed: int = 3, ready_for: int = 3
) -> dict[str, Any]:
    return {
        "metadata": {"name": "acme", "generation": generation},
        "status": {
            "observedGeneration": observed,
            "phase": "Ready",
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": reason,
                    "message": f"{kind} because {reason}",
                    "observedGeneration": ready_for if kind == "Ready" else observed,
                }
                for kind, status, reason in conditions
            ],
        },
    }


READY = ("Ready", "True", "ModulesReady")
REST = ("Reconciling", "False", "Settled")
FINE = ("Stalled", "False", "NotStalled")


def test_it_is_reached_when_it_is_ready_for_the_present_generation_and_nothing_is_under_way() -> None:
    assert standing_of(body(READY, REST, FINE)).reached


@pytest.mark.parametrize(
    ("given", "doing"),
    [
        pytest.param({"metadata": {"name": "acme", "generation": 1}}, "waiting for the operator", id="no status yet"),
        pytest.param(body(READY, REST, FINE, observed=2), "waiting for the operator", id="seen before the edit"),
        pytest.param(body(READY, REST, FINE, ready_for=2), "Ready because", id="ready for what was asked before"),
        pytest.param(
            body(READY, ("Reconciling", "True", "Provisioning"), FINE), "Reconciling because", id="work under way"
        ),
        pytest.param(
            body(("Ready", "False", "ModulesNotReady"), REST, FINE), "ModulesNotReady", id="modules still starting"
        ),
    ],
)
def test_it_is_not_reached_and_says_what_is_waited_for(given: dict[str, Any], doing: str) -> None:
    standing = standing_of(given)
    assert not standing.reached
    assert standing.trouble is None
    assert doing in standing.doing


@pytest.mark.parametrize("reason", ["BySpec", "Expired"])
def test_what_was_asked_to_stop_is_reached_when_it_stands_still(reason: str) -> None:
    assert standing_of(body(("Ready", "False", reason), REST, FINE)).reached


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("InvalidSpec", InvalidInput),
        ("PolicyViolated", InvalidInput),
        ("Conflict", Conflict),
        ("Unsupported", Unsupported),
        ("StackLocked", Locked),
        ("StateCorrupt", StateCorrupt),
        ("DependencyUnavailable", DependencyUnavailable),
        ("RetriesExhausted", RunFailed),
    ],
)
def test_a_stalled_tenant_is_an_error_of_its_kind(reason: str, kind: type[TenantryError]) -> None:
    trouble = standing_of(body(READY, REST, ("Stalled", "True", reason))).trouble
    assert type(trouble) is kind
    assert reason in trouble.message
