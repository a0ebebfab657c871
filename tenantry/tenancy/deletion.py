"""A tenant's deletion: what was asked for, how far it is, and which step comes next. Pure.

A deletion is a record that outlives every process: each step is noted after it was seen to have worked, so that a kill
between any two is finished by the next run, which takes the first step that is not noted. Steps are idempotent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tenantry.tenancy.cell import Copies
from tenantry.tenancy.errors import Conflict
from tenantry.tenancy.plans import EnvironmentClass
from tenantry.tenancy.spec import DeletionPolicy

__all__ = [
    "DELETE",
    "DELETE_NOW",
    "DELETE_REQUESTED",
    "ERASING",
    "INCARNATION",
    "UNDELETE",
    "Decision",
    "Deletion",
    "DestroyedKey",
    "Failure",
    "FinalBackup",
    "Retained",
    "Step",
    "Tombstone",
    "again",
    "check_deletable",
    "decide",
    "retained_copies",
    "retry_after",
    "unrecoverable_on",
]


DELETE = "tenantry.dev/delete"
"""Annotation of a Tenant that asks for its deletion; taken away within the grace period, it brings the tenant back."""
DELETE_REQUESTED = "requested"
DELETE_NOW = "now"
"""Values of it; `now`: without the grace period, where the environment allows that."""
UNDELETE = "tenantry.dev/undelete"
"""Annotation of a Tenant object that was itself deleted: brings the tenant back, as an object made anew."""
INCARNATION = "tenantry.dev/incarnation"
"""Annotation of an object that was made anew for a living tenant; it names that tenant's incarnation."""


class Step(StrEnum):
    """In the order in which they are taken."""

    CLOSE = "close"
    """Ingress closed, workload at zero; all data is kept. The only step before the end of the grace period."""
    BACKUP = "backup"
    SURVEY = "survey"
    STACK = "stack"
    DATABASE = "database"
    MESSAGING = "messaging"
    CACHE = "cache"
    NAMESPACE = "namespace"
    LEASES = "leases"
    SECRETS = "secrets"
    KEYS = "keys"
    COPIES = "copies"
    STATE = "state"
    RECORD = "record"
    INVENTORY = "inventory"
    CERTIFICATE = "certificate"


ERASING = frozenset(Step) - {Step.CLOSE, Step.BACKUP, Step.SURVEY}
"""Steps that cannot be taken back: from the first of them on, a deletion can no longer be cancelled."""
_REPEATED = ERASING - {Step.INVENTORY, Step.CERTIFICATE}
_BACKUPS = "backups of the tenant, which no key opens"
_RETRY_LEAST = timedelta(seconds=5)
_RETRY_MOST = timedelta(minutes=10)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FinalBackup(_Model):
    """id, sha256 (of its manifest, which holds the digests of its parts) and bytes, all None when none was taken;
    note: why not."""

    id: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    note: str = ""


class DestroyedKey(_Model):
    """A transit key that is gone. versions: version → when OpenBao made it. destroyed_at: when it was seen absent."""

    name: str
    versions: dict[str, str]
    destroyed_at: AwareDatetime | None = None


class Failure(_Model):
    """The step that does not work at present. since: its first failure in a row."""

    step: Step
    code: str
    message: str
    hint: str | None
    since: AwareDatetime
    attempts: int = Field(ge=1)


class Retained(_Model):
    """A copy that outlives the deletion, with the last day on which it may still exist. holds_back: a key or plain data
    could come back from it, so that `Unrecoverable` waits for it. in_store: it is in the cell's backup store, and
    Tenantry removes it after that day; all others age out by what made them."""

    what: str
    holds_back: bool
    in_store: bool = False
    days: int
    until: date


class Deletion(_Model):
    """The journal of one deletion.

    due_at: end of the grace period. replicas: by Deployment, as they were before the workload was closed; None: not
    looked at yet. schedules: the CronJobs that were not suspended then. erasing_since: when the first step of `ERASING`
    began.
    """

    name: str
    incarnation: str
    namespace: str
    hosts: tuple[str, ...]
    policy: DeletionPolicy
    requested_at: AwareDatetime
    requested_by: str
    due_at: AwareDatetime
    replicas: dict[str, int] | None = None
    schedules: tuple[str, ...] = ()
    cancelled_at: AwareDatetime | None = None
    erasing_since: AwareDatetime | None = None
    done: dict[Step, AwareDatetime] = Field(default_factory=dict)
    failure: Failure | None = None
    survey: dict[str, Any] = Field(default_factory=dict)
    keys: tuple[DestroyedKey, ...] = ()
    backup: FinalBackup | None = None
    inventory: dict[str, Any] | None = None

    def with_done(self, step: Step, now: datetime) -> Deletion:
        return self.model_copy(update={"done": {**self.done, step: now}, "failure": None})

    def with_failure(self, step: Step, *, code: str, message: str, hint: str | None, now: datetime) -> Deletion:
        last = self.failure if self.failure is not None and self.failure.step == step else None
        failure = Failure(
            step=step,
            code=code,
            message=message,
            hint=hint,
            since=last.since if last else now,
            attempts=last.attempts + 1 if last else 1,
        )
        return self.model_copy(update={"failure": failure})


class Tombstone(_Model):
    """What stays of a tenant: that it was, when it was erased, and the signed certificate. No data of the customer's.

    digest: SHA-256 of the certificate's canonical text. retained: what is kept on purpose, with its last day.
    """

    name: str
    incarnation: str
    namespace: str
    erased_at: AwareDatetime
    unrecoverable_on: date
    digest: str
    certificate: dict[str, Any]
    retained: tuple[Retained, ...]
    copies_removed_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """step: what to do now; None: nothing. again_at: when to look again, None with no step: finished or cancelled."""

    step: Step | None
    again_at: datetime | None
    sentence: str


def check_deletable(name: str, policy: DeletionPolicy, environment: EnvironmentClass, *, now: bool) -> None:
    """Raises Conflict for a tenant that is protected, or that must have its grace period."""
    if policy is DeletionPolicy.PROTECT:
        raise Conflict(
            f"tenant {name} is protected: its deletion policy is `protect`",
            where=name,
            hint="give its file another deletionPolicy and apply it, then delete it",
        )
    least = environment.spec.grace_days_minimum
    if now and least:
        raise Conflict(
            f"a {environment.metadata.name} environment cannot be deleted without its grace period",
            where=name,
            hint=f"leave --now out; its environment asks for at least {least} days",
        )


def decide(deletion: Deletion, now: datetime) -> Decision:
    """What to do next, and why."""
    if deletion.cancelled_at is not None:
        return Decision(step=None, again_at=None, sentence="the deletion was cancelled")
    if Step.CLOSE not in deletion.done:
        return Decision(step=Step.CLOSE, again_at=None, sentence="close the tenant: no ingress, no workload, all data")
    if now < deletion.due_at and deletion.erasing_since is None:
        day = deletion.due_at.strftime("%Y-%m-%d %H:%M UTC")
        return Decision(
            step=None,
            again_at=deletion.due_at,
            sentence=f"in its grace period until {day}: closed, all data kept, the deletion can be cancelled",
        )
    for step in Step:
        if step not in deletion.done:
            return Decision(step=step, again_at=None, sentence=f"next step: {step}")
    return Decision(step=None, again_at=None, sentence="nothing of the tenant is left")


def again(deletion: Deletion) -> Deletion:
    """Every erasing step is due again: something turned up after it had been seen to work."""
    done = {step: when for step, when in deletion.done.items() if step not in _REPEATED}
    return deletion.model_copy(update={"done": done})


def retry_after(failure: Failure) -> timedelta:
    """The pause before the next attempt: doubles from 5 s to 10 min."""
    doubled: int = 2 ** min(failure.attempts - 1, 10)
    return min(_RETRY_LEAST * doubled, _RETRY_MOST)


def retained_copies(copies: Copies, policy: DeletionPolicy, day: date) -> tuple[Retained, ...]:
    """What outlives a tenant that is erased on `day`, and until when. A copy of no days does not exist."""
    backups = 0 if policy is DeletionPolicy.DELETE else copies.tenant_backup_days
    named = (
        ("OpenBao snapshots", copies.openbao_snapshot_days, True),
        ("binary logs of the database server", copies.binary_log_days, True),
        ("physical backups of the database server", copies.physical_backup_days, True),
        ("off-site history of the state", copies.state_history_days, True),
        # They hold names and times, and ciphertext whose key is destroyed.
        ("audit logs", copies.audit_log_days, False),
        (_BACKUPS, backups, False),
    )
    return tuple(
        Retained(
            what=what, holds_back=holds_back, in_store=what is _BACKUPS, days=days, until=day + timedelta(days=days)
        )
        for what, days, holds_back in named
        if days
    )


def unrecoverable_on(retained: Iterable[Retained], day: date) -> date:
    """From this day on no copy exists that could bring a key or plain data back. day: that of the erasing."""
    return max((one.until for one in retained if one.holds_back), default=day)
