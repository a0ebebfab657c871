"""At which step an operation on a tenant is, read from its journals while somebody else writes them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

from bench.faults.cases import ASKED, CLAIMED, FINISHED, Operation, steps_of, wave
from bench.faults.tenants import Tenant
from tenantry.fleet.deletions import KIND as DELETION
from tenantry.recovery.restoring import KIND as RESTORATION
from tenantry.tenancy import deletion, recovery, release

__all__ = ["Follower"]

_EVERY_S = 0.003
_PRIORITY = -15


class Follower:
    """Of one operation on one tenant. Reads files alone, so that it is no slower for what is down."""

    def __init__(self, tenant: Tenant, operation: Operation) -> None:
        fleet = tenant.cell.fleet
        journals = fleet.folder / "operations" / tenant.names.namespace
        self._operation = operation
        self._record = fleet.folder / "tenants" / f"{tenant.name}.json"
        self._engine = fleet.backend / ".tenantry" / "tenantry" / tenant.name / "journal.jsonl"
        self._tombstone = fleet.folder / "tombstones" / f"{tenant.names.namespace}.json"
        kept = {
            Operation.RESTORE: (RESTORATION,),
            Operation.DEPROVISION: (DELETION,),
        }.get(operation, (release.KIND, release.KEPT))
        self._journals = tuple(journals / f"{kind}.json" for kind in kept)
        self._seen: tuple[object, ...] | None = None
        self._step = ASKED
        self.waves = 0
        """The most that were seen of a run of the stack."""

    def step(self) -> str:
        """The step that was last begun; FINISHED when none is left."""
        watched = (self._record, self._engine) if self._operation is Operation.PROVISION else self._journals
        seen = tuple(_stamp(path) for path in (*watched, self._tombstone))
        if seen != self._seen:
            self._seen, self._step = seen, self._read()
        return self._step

    def reaches(self, step: str, *, within_s: float) -> bool:
        """Wait until this step or a later one has begun."""
        deadline, pause = time.monotonic() + within_s, Event()
        order = (ASKED, *steps_of(self._operation), FINISHED)
        with _first_served():
            while time.monotonic() < deadline:
                now = self.step()
                # What is not in the order is beyond it.
                if now not in order or order.index(now) >= order.index(step):
                    return True
                pause.wait(_EVERY_S)
        return False

    def _read(self) -> str:
        match self._operation:
            case Operation.PROVISION:
                return self._provisioning()
            case Operation.RESTORE:
                return self._restoring()
            case Operation.DEPROVISION:
                return self._deleting()
            case _:
                return self._releasing()

    def _provisioning(self) -> str:
        record = _read(self._record)
        if record is None:
            return ASKED
        if record.get("finished_at"):
            return FINISHED
        try:
            # Each wave's intents begin with an empty line.
            waves = self._engine.read_text(encoding="utf-8").splitlines().count("")
        except FileNotFoundError:
            return self._step if self._step not in (ASKED, FINISHED) else CLAIMED
        self.waves = max(self.waves, waves)
        return wave(waves) if waves else CLAIMED

    def _releasing(self) -> str:
        found = next((one for path in self._journals if (one := _read(path)) is not None), None)
        if found is None:
            return ASKED
        if found.get("end"):
            return FINISHED
        return str(found.get("step") or ASKED)

    def _restoring(self) -> str:
        found = _read(self._journals[0])
        if found is None:
            return ASKED
        step = recovery.next_step(recovery.Restoration.model_validate(found))
        return FINISHED if step is None else str(step)

    def _deleting(self) -> str:
        found = _read(self._journals[0])
        if found is None:
            return FINISHED if self._tombstone.exists() else ASKED
        done = found.get("done") or {}
        return next((str(step) for step in deletion.Step if step not in done), FINISHED)


@contextmanager
def _first_served() -> Iterator[None]:
    """This thread before all others of a busy machine, where that is allowed: a step may take milliseconds."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, usual)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return content if isinstance(content, dict) else None
