"""What an event of a Tenant puts into the queue."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tenantry_operator.metrics import Metrics
from tenantry_operator.objects import Tenants
from tenantry_operator.queueing import Queue
from tenantry_operator.reconciling import Reconciler


class Recorder(Queue):
    """Keeps what is added, and works on nothing."""

    def __init__(self) -> None:
        super().__init__(lambda _: None, slots=1, sick_slots=1)
        self.added: list[tuple[str, float]] = []

    def add(self, key: str, *, after_s: float = 0.0) -> None:
        self.added.append((key, after_s))


def _body(name: str, *, ready: bool, deleting: bool = False, generation: int = 1) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": name, "resourceVersion": "1", "generation": generation}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-26T00:00:00Z"
    condition = {"type": "Ready", "status": "True" if ready else "False", "observedGeneration": 1}
    return {"metadata": metadata, "status": {"observedGeneration": 1, "conditions": [condition]}}


def test_what_was_well_at_a_start_takes_turns_and_all_else_comes_at_once() -> None:
    unused = cast("Any", None)
    reconciler = Reconciler(
        fleet=unused,
        kubernetes=unused,
        tenants=Tenants(unused),
        actions=(),
        metrics=Metrics(),
        fenced=lambda: True,
        deadline_s=1,
    )
    reconciler.queue = queue = Recorder()
    for name in ("well-1", "well-2", "well-3"):
        reconciler.seen(_body(name, ready=True), None)
    reconciler.seen(_body("interrupted", ready=False), None)
    reconciler.seen(_body("edited", ready=True, generation=2), None)
    reconciler.seen(_body("deleted", ready=True, deleting=True), None)
    reconciler.seen({"metadata": {"name": "new", "uid": "new", "resourceVersion": "1"}}, None)
    reconciler.seen(_body("changed", ready=True), "MODIFIED")
    turns = [after_s for name, after_s in queue.added if name.startswith("well")]
    assert turns == [pytest.approx(2.0 + 0.05 * number, abs=0.04) for number in range(3)]
    assert turns == sorted(turns)
    assert {name for name, after_s in queue.added if after_s == 0.0} == {
        *("interrupted", "edited", "deleted", "new", "changed")
    }
