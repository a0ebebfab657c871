"""The CLI's events as ours, from the JSON that the CLI writes."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.automation.events import EngineEvent

from tenantry.engine.interface import Diagnostic, Effect, Event, Op, ResourceFinished
from tenantry.engine.pulumi_cli.events import Events

URN = "urn:pulumi:s::p::kubernetes:apps/v1:Deployment::web"


def step(op: str, *, planning: bool = True, end: bool = False, **more: Any) -> EngineEvent:
    state = {"type": "kubernetes:apps/v1:Deployment", "urn": URN, "custom": True, "inputs": {"kind": "Deployment"}}
    metadata = {"op": op, "urn": URN, "type": "kubernetes:apps/v1:Deployment", "old": state, "new": state, **more}
    kind = "resOutputsEvent" if end else "resourcePreEvent"
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, kind: {"metadata": metadata, "planning": planning}})


def collected(*events: EngineEvent) -> tuple[Events, list[Event]]:
    sent: list[Event] = []
    found = Events("s", "preview", sent.append)
    for event in events:
        found(event)
    return found, sent


@pytest.mark.parametrize(
    ("ops", "op", "effect"),
    [
        pytest.param(("create",), Op.CREATE, Effect.NONE, id="something new disturbs nothing"),
        pytest.param(("delete",), Op.DELETE, Effect.DOWNTIME, id="a deployment that goes is missed"),
        pytest.param(
            ("create-replacement", "replace", "delete-replaced"),
            Op.REPLACE,
            Effect.DOWNTIME,
            id="three steps, one change",
        ),
    ],
)
def test_a_preview_has_one_change_a_resource(ops: tuple[str, ...], op: Op, effect: Effect) -> None:
    found, _ = collected(*(step(one) for one in ops))
    assert [(one.op, one.effect) for one in found.changes.values()] == [(op, effect)]


def test_a_changed_pod_template_restarts_and_names_its_paths() -> None:
    diff = {"spec.template.spec": {"diffKind": "update", "inputDiff": True}, "__inputs": {"diffKind": "update"}}
    found, _ = collected(step("update", detailedDiff=diff))
    assert [(one.effect, one.paths) for one in found.changes.values()] == [(Effect.RESTART, ("spec.template.spec",))]


def test_what_stays_the_same_is_no_change_and_is_not_announced() -> None:
    found, sent = collected(step("same"), step("same", planning=False), step("same", planning=False, end=True))
    assert found.changes == {}
    assert sent == []


def test_a_run_tells_when_a_resource_is_done() -> None:
    _, sent = collected(step("create", planning=False), step("create", planning=False, end=True))
    assert [type(one).__name__ for one in sent] == ["ResourceStarted", "ResourceFinished"]
    assert isinstance(sent[1], ResourceFinished)
    assert sent[1].error is None


def test_an_error_is_kept_without_the_cli_s_colours() -> None:
    event = {"diagnosticEvent": {"message": "<{%reset%}>it broke<{%reset%}>\n", "severity": "error", "color": "raw"}}
    found, _ = collected(EngineEvent.from_json({"sequence": 1, "timestamp": 1, **event}))
    assert found.problems == [Diagnostic(severity="error", message="it broke", urn=None)]
