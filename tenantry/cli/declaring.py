"""Tenants in a cell with an operator: their objects are written and watched, the work is the operator's.

The stack itself is never touched here: two writers of one stack would undo each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING, Any

from tenantry.fleet import Fleet
from tenantry.tenancy.errors import DependencyUnavailable, RunFailed, TenantryError
from tenantry.tenancy.manifest import TenantFile
from tenantry.tenancy.resolving import resolve
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.standing import Standing, standing_of

if TYPE_CHECKING:
    from tenantry.fleet.tenant_objects import TenantObjects

__all__ = ["Declared", "Tell", "declare", "follow", "objects_of"]

_POLL_S = 0.5
_UNSEEN_S = 20.0
"""An operator looks at an object within a second, and renews its Lease every few."""

Tell = Callable[[str, Standing], None]
_End = tuple[dict[str, Any], float, TenantryError | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One tenant's object after it was written. change: new, edited or no. spec: what it is, None while the operator
    has not said under which names. error: why it is not as asked for."""

    file: TenantFile
    body: dict[str, Any]
    change: str
    seconds: float
    spec: TenantSpec | None
    error: TenantryError | None


def objects_of(fleet: Fleet) -> TenantObjects | None:
    """The cell's Tenant objects, None in a cell without an operator: its tenants have none."""
    # Imported here: the client takes a third of a second to load, and reads its environment as it does.
    from tenantry.engine.cluster import connect
    from tenantry.fleet.tenant_objects import TenantObjects

    return TenantObjects(connect({})) if fleet.cell.spec.operator else None


def declare(
    fleet: Fleet,
    objects: TenantObjects,
    files: Sequence[TenantFile],
    *,
    take_over: bool,
    wait: bool,
    timeout_s: float,
    tell: Tell,
) -> tuple[Declared, ...]:
    """Write each tenant's object, and wait until what it asks for stands. Files are checked before by the caller."""
    began = time.monotonic()
    written: dict[str, tuple[TenantFile, dict[str, Any], str]] = {}
    failed: dict[str, Declared] = {}
    for file in files:
        name = file.tenant.metadata.name
        try:
            before = objects.get(name)
            body = objects.apply(file, driver="cli", take_over=take_over)
        except TenantryError as error:
            failed[name] = Declared(file=file, body={}, change="no", seconds=0.0, spec=None, error=error)
            continue
        moved = before is None or before["metadata"]["generation"] != body["metadata"]["generation"]
        written[name] = (file, body, "no" if not moved else "new" if before is None else "edited")
    ends: dict[str, _End] = {name: (body, 0.0, None) for name, (_, body, _) in written.items()}
    if wait:
        ends |= dict(_ends(objects, list(written), timeout_s=timeout_s, tell=tell, began=began))
    done = {
        name: Declared(
            file=file,
            body=ends[name][0],
            change=change,
            seconds=ends[name][1],
            spec=None if ends[name][2] else _spec(fleet, file, ends[name][0]),
            error=ends[name][2],
        )
        for name, (file, _, change) in written.items()
    }
    return tuple((failed | done)[file.tenant.metadata.name] for file in files)


def _ends(
    objects: TenantObjects, names: Sequence[str], *, timeout_s: float, tell: Tell, began: float
) -> Iterator[tuple[str, _End]]:
    for name, body, standing in follow(objects, names, timeout_s=timeout_s, tell=tell, until=_settled):
        error = standing.trouble
        if error is None and not standing.reached:
            error = RunFailed(
                f"not as asked for after {timeout_s:.0f} s: {standing.doing}",
                where=f"tenant/{name}",
                hint=f"the operator goes on with it: `tenantry tenant status {name} --wait`",
            )
        yield name, (body, time.monotonic() - began, error)


def _settled(_body: dict[str, Any], standing: Standing) -> bool:
    return standing.reached or standing.trouble is not None


def follow(
    objects: TenantObjects,
    names: Sequence[str],
    *,
    timeout_s: float,
    tell: Tell,
    until: Callable[[dict[str, Any], Standing], bool],
    gone_ends: bool = True,
) -> Iterator[tuple[str, dict[str, Any], Standing]]:
    """Each tenant with its last body, as it comes to what is waited for, or to the end of the time. One that has no
    object has the body {}. gone_ends: then nothing more is waited for; else it is expected back.

    Raises DependencyUnavailable when no operator is at work that would look at them.
    """
    began, pause, pulse = time.monotonic(), Event(), _Pulse(objects)
    waiting = list(names)
    while waiting:
        late = time.monotonic() - began > timeout_s
        unseen = False
        for name in tuple(waiting):
            body = objects.get(name) or {}
            standing = standing_of(body) if body else _GONE
            tell(name, standing)
            unseen = unseen or not standing.seen
            if late or until(body, standing) or (gone_ends and not body):
                waiting.remove(name)
                yield name, body, standing
        if waiting:
            pulse.check(unseen=unseen, waiting=waiting)
            pause.wait(_POLL_S)


class _Pulse:
    """Whether an operator is at work: its Lease is renewed. Compared with itself only; clocks differ."""

    def __init__(self, objects: TenantObjects) -> None:
        self._objects = objects
        self._last = objects.heartbeat()
        self._since = time.monotonic()

    def check(self, *, unseen: bool, waiting: Sequence[str]) -> None:
        """Raises DependencyUnavailable when nobody has looked for long, and the Lease stands still."""
        if not unseen or self._last is None or time.monotonic() - self._since < _UNSEEN_S:
            return
        before, self._last, self._since = self._last, self._objects.heartbeat(), time.monotonic()
        if self._last == before:
            raise DependencyUnavailable(
                "no operator is at work in this cell: what was asked for is kept, and nobody does it",
                where=", ".join(waiting),
                hint="start it (on a local platform: `tenantry local up`; in a cluster see docs/operator.md)",
            )


_GONE = Standing(seen=True, reached=False, trouble=None, phase="Gone", doing="its object is gone")


def _spec(fleet: Fleet, file: TenantFile, body: dict[str, Any]) -> TenantSpec | None:
    """What the operator made of it, by the names that its status tells."""
    status = body.get("status") or {}
    if not status.get("incarnation") or not status.get("release"):
        return None
    return resolve(
        file,
        catalogue=fleet.catalogue,
        cell=fleet.cell,
        incarnation=str(status["incarnation"]),
        managed_by="cli",
        today=datetime.fromisoformat(str(body["metadata"]["creationTimestamp"])).date(),
        pinned_release=str(status["release"]),
        pinned_template_version=int(status["templateVersion"]),
    )
