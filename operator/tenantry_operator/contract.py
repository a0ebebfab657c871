"""What an action is: the contract between the operator's core and each thing that it can do for a tenant.

To add one: a module in `actions/` with a class that meets `Action`, and a line in `actions/__init__.py`. The core calls
`claim` of every action each time it looks at a tenant, lets `lifecycle.decide` choose one (deprovision > restore >
release > provision > scale > backup > drift), calls its `act`, and looks again at once until nothing is due. One tenant
is looked at by one thread at a time, many tenants side by side.

`act` is called in a worker thread and may take long. It must be
- idempotent: called again after it is done, it does nothing and says so;
- resumable: a kill at any moment is finished by the next call; how far it is stands in `context.operations`, written
  before each step (never in `.status`, which people can edit);
- cancellable: between steps, and at least every few seconds, it looks at `context.cancelled` and returns early with an
  Outcome that says so. It is set when the operator stops, loses its Lease, or when something of higher rank is due.
What goes wrong is raised as an error of `tenancy.errors`; the core decides when to try again and what conditions say:
InvalidInput, Conflict, Unsupported, StateCorrupt → Stalled until something changes; Locked, DependencyUnavailable,
RunFailed → tried again with growing, jittered delays, and Stalled after some attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Lock
from typing import Any, Protocol, runtime_checkable

from tenantry.engine.cluster import Cluster
from tenantry.fleet import Fleet, Record
from tenantry.fleet.operations import Operations
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status
from tenantry.tenancy.lifecycle import Claim, Expiry, Verb
from tenantry.tenancy.manifest import TenantFile
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.spec import TenantSpec

__all__ = ["Action", "Cancellation", "Context", "ModuleState", "Outcome", "TellsStatus", "waits_for_a_hand"]


def waits_for_a_hand(reason: Reason, message: str) -> tuple[Condition, Condition]:
    """That nothing is done any more until somebody does what `message` tells."""
    settled = "it waits for a hand, see Stalled"
    return (
        Condition(type=ConditionType.RECONCILING, status=Status.FALSE, reason=Reason.SETTLED, message=settled),
        Condition(type=ConditionType.STALLED, status=Status.TRUE, reason=reason, message=message),
    )


class Cancellation(Event):
    """An event that can also call: for what blocks somewhere and has to be stopped from outside. why: set first."""

    def __init__(self) -> None:
        super().__init__()
        self.why = ""
        self._calls: list[Callable[[], None]] = []
        self._lock = Lock()

    def cancel(self, why: str) -> None:
        """Set it, once; `why` as the end of a sentence."""
        with self._lock:
            if self.is_set():
                return
            self.why = why
            self.set()
            calls = list(self._calls)
        for call in calls:
            call()

    def then(self, call: Callable[[], None]) -> None:
        """Call this when it is cancelled, or now when it has been."""
        with self._lock:
            if not self.is_set():
                self._calls.append(call)
                return
        call()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleState:
    """A Deployment or StatefulSet of the tenant, as last seen. wanted: `spec.replicas`."""

    name: str
    ready: int
    wanted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One tenant at one moment.

    body: the Tenant object as the API server gave it (read-only). file: the same, parsed; None when it no longer
    parses. spec: fully decided; None when it cannot be accepted now (a plan that disappeared): deprovisioning must do
    without. record: None before the first run was claimed. modules: None when nothing was seen yet.
    operations: the journals of this life of the tenant. progress: tells a sentence to the log and to who waits.
    """

    name: str
    incarnation: str
    namespace: str
    body: Mapping[str, Any]
    file: TenantFile | None
    spec: TenantSpec | None
    record: Record | None
    modules: tuple[ModuleState, ...] | None
    expiry: Expiry
    fleet: Fleet
    kubernetes: Cluster
    operations: Operations
    cancelled: Cancellation
    progress: Callable[[str], None]
    now: datetime

    @property
    def cell(self) -> Cell:
        return self.fleet.cell

    @property
    def tenant(self) -> Tenant | None:
        return None if self.file is None else self.file.tenant

    @property
    def annotations(self) -> Mapping[str, Any]:
        """The Tenant object's: people's wishes among them."""
        return self.body["metadata"].get("annotations") or {}

    @property
    def deleting(self) -> bool:
        """Somebody deleted the Tenant object; our finalizer still holds it."""
        return bool(self.body["metadata"].get("deletionTimestamp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one call of `act` did. sentence: what and why, for the log, the events and the user.

    again_after: look again after this time; None: at once, when anything changed, else at the next occasion.
    conditions: what the action knows to be true from now on; they replace those of the same type, and are lost when the
    operator restarts: what must last is given by `conditions(context)` instead.
    """

    sentence: str
    again_after: timedelta | None = None
    conditions: tuple[Condition, ...] = ()
    release_finalizer: bool = field(default=False)
    """deprovision only: everything is seen to be gone, the object may go."""


class Action(Protocol):
    """One thing that the operator can do. An instance is made once and used by many threads: keep no tenant's state."""

    @property
    def verb(self) -> Verb: ...

    def claim(self, context: Context) -> Claim | None:
        """Whether it wants to act, and when; None: not in sight. Cheap, without effects: it reads `context` and the
        journal, and asks no server. Best made by a pure function of the domain."""
        ...

    def act(self, context: Context) -> Outcome:
        """Do it, as the module's docstring demands."""
        ...

    def conditions(self, context: Context) -> tuple[Condition, ...]:
        """What it knows to be true of the tenant, from the record and the journals; cheap. () for nothing to say."""
        ...


@runtime_checkable
class TellsStatus(Protocol):
    """An action that fills fields of the status besides conditions."""

    def status(self, context: Context) -> Mapping[str, Any]:
        """Fields by name, as the CRD has them; cheap. A field that is left out stays as it is."""
        ...
