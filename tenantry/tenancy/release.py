"""A release: a tenant goes from one version of its application to another, or stays what it was. Pure.

The journal says how far it is. A step is noted as begun before it acts and as done after it was seen to have worked;
each is idempotent, so that a kill at any moment is finished by taking the next step that is not done.

Invariants, which the tests check from every interruption: the database is changed only between a snapshot and the
moment at which traffic is let back, while nothing of the workload but the migration runs; before that moment a failure
goes back to the old image and the snapshot together; from it on there is no way but forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tenantry.tenancy.spec import Hold, Installed

__all__ = [
    "DOING",
    "KEPT",
    "KIND",
    "Decision",
    "End",
    "Failure",
    "Release",
    "Step",
    "Version",
    "decide",
    "gives_up",
    "told",
]

KIND = "release"
"""The journal's name among the tenant's operations, while the release is under way."""
KEPT = "release-kept"
"""Its name before and after."""
_ATTEMPTS = 3
"""A step that fails so often in a row has failed."""
_PATIENCE = timedelta(minutes=30)
"""How long a system that the release needs may be away before the tenant goes back to what it was."""


class Step(StrEnum):
    """In the order in which they are taken; the last three lead back."""

    CHECK = "check"
    PAUSE = "pause"
    DRAIN = "drain"
    SNAPSHOT = "snapshot"
    MIGRATE = "migrate"
    ROLL = "roll"
    VERIFY = "verify"
    OPEN = "open"
    COMMIT = "commit"
    CLEAR = "clear"
    RESTORE = "restore"
    REOPEN = "reopen"


_BACK = (Step.CLEAR, Step.RESTORE, Step.REOPEN)
_FORWARD = tuple(step for step in Step if step not in _BACK)


DOING = {
    Step.CHECK: "looking whether the release can be had",
    Step.PAUSE: "pausing schedules; runs under way end by themselves",
    Step.DRAIN: "closing traffic and stopping workers, each after its last message",
    Step.SNAPSHOT: "keeping the database aside",
    Step.MIGRATE: "migrating the database",
    Step.ROLL: "starting the new version",
    Step.VERIFY: "asking the new version whether it is well",
    Step.OPEN: "letting traffic, workers and schedules back",
    Step.COMMIT: "noting it as the last good version",
    Step.CLEAR: "stopping the new version",
    Step.RESTORE: "putting the database back",
    Step.REOPEN: "starting the old version again",
}


class End(StrEnum):
    """How a release ended: the tenant runs the new, runs the old again, or was never touched."""

    RELEASED = "released"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Version(_Model):
    release: str
    template_version: int

    def __str__(self) -> str:
        return f"{self.release} (template version {self.template_version})"

    def at(self, hold: Hold) -> Installed:
        return Installed(release=self.release, template_version=self.template_version, hold=hold)


class Failure(_Model):
    """What the step under way fails with. since: its first failure in a row."""

    code: str
    message: str
    since: AwareDatetime
    attempts: int = Field(ge=1)


class Release(_Model):
    """The journal. It stays when the release has ended, so that a failed one is not begun again by itself.

    by: who asked (`spec`, `annotation`, `command`, `rollout NAME`). request: the annotation that was last heeded, ""
    for none. at_once: without waiting for the maintenance window. step: last begun; since: when. begun: all that were,
    in their order. settled: the step whose run of the stack has reached its goal. snapshot: of the database before the
    migration; None without one. going_back: why.
    """

    name: str
    incarnation: str
    namespace: str
    before: Version
    after: Version
    by: str
    request: str = ""
    at_once: bool = False
    requested_at: AwareDatetime
    step: Step | None = None
    since: AwareDatetime | None = None
    begun: tuple[Step, ...] = ()
    settled: Step | None = None
    done: dict[Step, AwareDatetime] = Field(default_factory=dict)
    snapshot: str | None = None
    failure: Failure | None = None
    going_back: str | None = None
    ended_at: AwareDatetime | None = None
    end: End | None = None

    @property
    def is_open(self) -> bool:
        return self.end is None

    @property
    def under_way(self) -> bool:
        """It has touched the tenant and has not ended: nothing of lower rank may."""
        return self.is_open and self.has_begun(Step.PAUSE)

    @property
    def failed(self) -> bool:
        """It has ended, and not with the new version."""
        return self.end in (End.ROLLED_BACK, End.REFUSED)

    @property
    def forward_only(self) -> bool:
        """Traffic may be back: there is no way back."""
        return self.has_begun(Step.OPEN)

    def has_begun(self, step: Step) -> bool:
        return step in self.begun

    def beginning(self, step: Step, now: datetime) -> Release:
        if self.step is step:
            return self
        return self.model_copy(
            update={"step": step, "since": now, "begun": (*self.begun, step), "settled": None, "failure": None}
        )

    def with_done(self, step: Step, now: datetime) -> Release:
        return self.model_copy(update={"done": {**self.done, step: now}, "failure": None})

    def with_failure(self, *, code: str, message: str, now: datetime) -> Release:
        last = self.failure
        failure = Failure(
            code=code,
            message=message,
            since=last.since if last else now,
            attempts=last.attempts + 1 if last else 1,
        )
        return self.model_copy(update={"failure": failure})

    def turned_back(self, why: str) -> Release:
        """Go back to what it was, because of `why`. Raises ValueError where only forward is left."""
        if self.forward_only:
            raise ValueError("traffic may be back: the release only goes forward")
        return self.model_copy(update={"going_back": why, "failure": None})

    def ended(self, end: End, now: datetime) -> Release:
        return self.model_copy(update={"end": end, "ended_at": now, "failure": None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """step: to take now. end: no step is left, and this is how it ends; both None: it had ended before."""

    step: Step | None = None
    end: End | None = None


def decide(release: Release) -> Decision:
    """What comes next. Deciding again after nothing changed gives the same."""
    if not release.is_open:
        return Decision()
    if release.going_back is None:
        plan, end = _FORWARD, End.RELEASED
    elif release.has_begun(Step.MIGRATE):
        plan, end = _BACK, End.ROLLED_BACK
    elif release.has_begun(Step.PAUSE):
        plan, end = (Step.REOPEN,), End.ROLLED_BACK
    else:
        plan, end = (), End.REFUSED
    due = next((step for step in plan if step not in release.done), None)
    return Decision(end=end) if due is None else Decision(step=due)


def gives_up(release: Release, now: datetime, *, missing: bool) -> bool:
    """Whether the failure that was just noted ends the attempt. missing: a system that it needs does not answer.

    What leads back, and what comes after traffic is back, is tried until it works."""
    if release.failure is None or release.going_back is not None or release.forward_only:
        return False
    if missing:
        return now - release.failure.since >= _PATIENCE
    return release.failure.attempts >= _ATTEMPTS


def told(release: Release) -> str:
    """How a release ended, as a sentence."""
    match release.end:
        case End.RELEASED:
            return f"runs {release.after}"
        case End.ROLLED_BACK:
            return f"runs {release.before} again, image and data: {release.going_back}"
        case End.REFUSED:
            return f"stays at {release.before}, nothing was touched: {release.going_back}"
        case None:
            return f"on its way from {release.before} to {release.after}"
