"""Backups and restores of a tenant: what was asked for, how far it is, and what is due next. Pure.

Both are kept in journals that outlive every process (`fleet.operations`). A restore notes each step after it was seen
to have worked, so that a kill between any two is finished by the next run; steps may be repeated.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cronsim import CronSim
from pydantic import AwareDatetime, BaseModel, ConfigDict

from tenantry.tenancy.errors import InvalidInput

__all__ = [
    "BACKUP",
    "PROVE_EVERY",
    "RESTORE",
    "Backups",
    "Definition",
    "Due",
    "Goal",
    "Kept",
    "Proof",
    "Restoration",
    "Step",
    "Task",
    "due",
    "next_backup",
    "next_step",
    "overdue",
    "parse_goal",
]

BACKUP = "tenantry.dev/backup"
"""Annotation of a Tenant that asks for a backup now; each new value asks once."""
RESTORE = "tenantry.dev/restore"
"""Annotation that asks for a restore: `latest`, a backup's id or a time, perhaps with `#` and anything, which makes it
another wish than the last."""
PROVE_EVERY = timedelta(days=7)
"""A tenant's last backup is brought back into a scratch schema so often."""
_FIRST_PROOF_WITHIN = timedelta(hours=1)
_AGAIN_AFTER = timedelta(days=1)
_LATE = timedelta(hours=26)
_STOPPED_AT_MOST = timedelta(minutes=15)
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# -- what is asked for -----------------------------------------------------------------------------------------


class Goal(_Model):
    """What to bring back: a backup by its id, the newest (both None), or the moment `at`."""

    backup: str | None = None
    at: AwareDatetime | None = None

    def __str__(self) -> str:
        return self.backup or (f"{self.at:%Y-%m-%d %H:%M:%S UTC}" if self.at else "the newest backup")


def parse_goal(text: str) -> Goal:
    """What the annotation asks for. Raises InvalidInput."""
    wanted = text.partition("#")[0].strip()
    if wanted == "latest":
        return Goal()
    if _ID.fullmatch(wanted):
        return Goal(backup=wanted)
    try:
        at = datetime.fromisoformat(wanted)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidInput(
            f"{wanted!r} names nothing that can be restored",
            source=RESTORE,
            hint="write latest, a backup's id (`tenantry tenant backups`), or a time such as 2026-11-26T01:02:03Z",
        )
    return Goal(at=at.astimezone(UTC))


# -- backups ---------------------------------------------------------------------------------------------------


class Kept(_Model):
    """A whole backup in the store. size: bytes."""

    id: str
    taken_at: AwareDatetime
    size: int
    release: str


class Proof(_Model):
    """A backup was brought back into a scratch schema and compared with its manifest. problem: "" when all was there;
    rows: how many came back."""

    id: str
    at: AwareDatetime
    rows: int = 0
    problem: str = ""


class Backups(_Model):
    """The journal. last: the newest whole backup when the store was last looked at, at seen_at. asked: the last value
    of the annotation that was served, with what came of it. proof: the last; proven: the last that held."""

    last: Kept | None = None
    seen_at: AwareDatetime | None = None
    asked: str = ""
    answer: str = ""
    proof: Proof | None = None
    proven: Proof | None = None


class Task(StrEnum):
    TAKE = "take"
    PROVE = "prove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done next for a tenant's backups, and when."""

    task: Task
    at: datetime
    why: str


def next_backup(schedule: str, since: datetime) -> datetime:
    """When the schedule fires next after a moment, in UTC."""
    return next(CronSim(schedule, since.astimezone(UTC)))


def due(backups: Backups, *, asked: str, schedule: str, made_at: datetime, name: str) -> Due:
    """asked: the annotation's value, "" for none. schedule: five fields, in UTC. made_at: when the tenant was made.
    name: spreads the proofs of many tenants over time."""
    if asked and asked != backups.asked:
        return Due(task=Task.TAKE, at=made_at, why="a backup was asked for")
    last = backups.last
    since = max(made_at, backups.seen_at or made_at, last.taken_at if last else made_at)
    take = Due(task=Task.TAKE, at=next_backup(schedule, since), why="its scheduled backup is due")
    if last is None:
        return take
    prove = _next_proof(backups, last, name)
    return prove if prove is not None and prove.at <= take.at else take


def _next_proof(backups: Backups, last: Kept, name: str) -> Due | None:
    why = "its last backup is to be proven by a restore"
    spread = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
    proof = backups.proof
    if proof is None:
        return Due(task=Task.PROVE, at=last.taken_at + _FIRST_PROOF_WITHIN * spread, why=why)
    if proof.id == last.id:
        return None if not proof.problem else Due(task=Task.PROVE, at=proof.at + _AGAIN_AFTER, why=why)
    pause = _AGAIN_AFTER if proof.problem else PROVE_EVERY
    return Due(task=Task.PROVE, at=proof.at + pause, why=why)


def overdue(backups: Backups, *, schedule: str, made_at: datetime, now: datetime) -> bool:
    """Whether a scheduled backup did not come: a day and two hours after its time at the latest."""
    since = backups.last.taken_at if backups.last else made_at
    return now > next_backup(schedule, since) + _LATE


# -- restores --------------------------------------------------------------------------------------------------


class Step(StrEnum):
    """In the order in which they are taken."""

    CHECK = "check"
    """The backup is chosen, every object checked, every key unwrapped."""
    LOAD = "load"
    """Into a scratch schema beside the tenant's, and proved; the workload still runs on what is there."""
    STOP = "stop"
    SAVE = "save"
    """What is there now, as a snapshot: the way back."""
    SWAP = "swap"
    """From here on there is no way back but another restore."""
    DEFINE = "define"
    """Views and triggers."""
    SECRETS = "secrets"
    MEDIA = "media"
    """By a Job of the tenant's own. Files that came later stay."""
    START = "start"
    CLEAN = "clean"


_BACK = frozenset({Step.START, Step.CLEAN})


class Definition(_Model):
    """A view or a trigger as a statement that may be repeated. sql_mode: None for a view. collation: of the connection
    that made it."""

    name: str
    statement: str
    sql_mode: str | None
    collation: str


class Restoration(_Model):
    """The journal of one restore. asked: the wish as it was given. origin: namespace of another tenant whose backup it
    is, "" for its own. saved: the snapshot of what was there; unsaved: why there is none, so that the tables themselves
    are kept aside. replicas and schedules: what ran before it was stopped, None: not stopped. problem: why it
    was given up; its steps then lead back to what was there. stopped_since: when the workload was first told to
    stop. left_out: what of the backup did not come back."""

    asked: str
    goal: Goal
    requested_at: AwareDatetime
    origin: str = ""
    backup: str | None = None
    saved: str | None = None
    unsaved: str = ""
    replicas: dict[str, int] | None = None
    schedules: tuple[str, ...] = ()
    stopped_since: AwareDatetime | None = None
    definitions: tuple[Definition, ...] = ()
    done: dict[Step, AwareDatetime] = {}
    problem: str = ""
    left_out: str = ""
    ended_at: AwareDatetime | None = None

    def with_done(self, step: Step, now: datetime) -> Restoration:
        return self.model_copy(update={"done": {**self.done, step: now}})

    @property
    def under_way(self) -> bool:
        """It has stopped the workload and has not ended: nothing of lower rank may act."""
        return self.replicas is not None and self.ended_at is None

    @property
    def may_go_back(self) -> bool:
        """Until the swap has begun, which is noted before it."""
        return Step.SAVE not in self.done and self.ended_at is None

    def waits_too_long(self, now: datetime) -> bool:
        """Whether the workload has stood still for so long that it is better started on what was there. Stopping
        counts: on a node that is gone it may never end."""
        since = self.stopped_since or self.done.get(Step.STOP)
        return since is not None and now - since > _STOPPED_AT_MOST


def next_step(restoration: Restoration) -> Step | None:
    """The first that is not done; of one that was given up, the first of those that lead back."""
    if restoration.ended_at is not None:
        return None
    skip: Callable[[Step], bool] = (lambda step: step not in _BACK) if restoration.problem else (lambda _: False)
    return next((step for step in Step if step not in restoration.done and not skip(step)), None)
