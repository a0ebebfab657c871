"""What an operator does while nothing changes: processor time, and writes to the API server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from bench.audit import Tail, writes_of
from bench.operated_cell import OperatedCell
from tenantry.local.operating import ACCOUNT

__all__ = ["Quiet", "await_rest", "measure_quiet"]

_REST_S = 20.0
_LIMIT_S = 1800.0
_FEW = 2
_ASK_S = 5.0
_BETWEEN_PASSES_S = 720.0
"""The least between two looks for drift: 15 minutes, less a fifth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """cpu_percent: of one processor, by part of the platform. looks: at tenants, in this time. writes: of the
    operator's account but for the Lease, by `verb resource`; events are counted with told."""

    seconds: float
    looks: int
    writes: Mapping[str, int]
    told: int
    cpu_percent: Mapping[str, float]


def await_rest(cell: OperatedCell, undisturbed_s: float = 0.0) -> None:
    """Until nothing waits or is written. undisturbed_s: and until no look for drift will fall into so many seconds."""
    deadline = time.monotonic() + _LIMIT_S
    written, since = -1.0, time.monotonic()
    while True:
        metrics = cell.metrics()
        waiting, writes = metrics["tenantry_queue_depth"], metrics["tenantry_api_writes_total"]
        if waiting > _FEW or writes != written:
            written, since = writes, time.monotonic()
        next_pass = metrics["tenantry_drift_last_pass_timestamp_seconds"] + _BETWEEN_PASSES_S
        if time.monotonic() - since > _REST_S and (not undisturbed_s or time.time() + undisturbed_s < next_pass):
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the operator does not come to rest")
        time.sleep(_ASK_S)


def measure_quiet(cell: OperatedCell, seconds: float) -> Quiet:
    await_rest(cell, seconds)
    tail, before, spent, began = Tail(cell.audit_log), cell.metrics(), cell.cpu(), time.monotonic()
    time.sleep(seconds)
    took, later, after = time.monotonic() - began, cell.cpu(), cell.metrics()
    return Quiet(
        seconds=round(took, 1),
        looks=int(after["tenantry_reconcile_seconds_count"] - before["tenantry_reconcile_seconds_count"]),
        writes=dict(writes_of(ACCOUNT, tail.lines())),
        told=int(after["tenantry_api_writes_total"] - before["tenantry_api_writes_total"]),
        cpu_percent={name: round(100 * (later[name] - spent[name]) / took, 1) for name in later},
    )
