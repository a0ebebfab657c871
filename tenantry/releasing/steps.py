"""What each step of a release does. Every one may be repeated; none knows what comes next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenantry.engine.cluster import ApiError, connect
from tenantry.engine.interface import OnEvent
from tenantry.fleet import Fleet
from tenantry.recovery import let_go, put_back, snapshot
from tenantry.releasing.draining import failed_tasks, held_messages, running_pods, running_schedules
from tenantry.releasing.smoke import smoke_problems
from tenantry.tenancy.errors import RunFailed, TenantryError
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.release import Release, Step, Version
from tenantry.tenancy.spec import Hold, TenantSpec
from tenantry.tenancy.upgrading import check_path

__all__ = ["STEPS", "Failed", "Waiting", "Work"]

_MARGIN = timedelta(minutes=10)
"""How long after its own limit something may take to be seen ended."""


class Failed(RunFailed):
    """The release itself is bad: its migration or its answers. Another attempt would be no better."""

    code = "ReleaseFailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The step has done what it can and waits for something that ends by itself. at_most: since the step began."""

    sentence: str
    at_most: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """note: makes a changed journal durable and returns it."""

    fleet: Fleet
    release: Release
    note: Callable[[Release], Release]
    on_event: OnEvent | None
    now: datetime

    def spec(self, version: Version, hold: Hold) -> TenantSpec:
        return self.fleet.specs.of(self.fleet.record(self.release.name), version.at(hold))

    def install(self, version: Version, hold: Hold) -> None:
        """Bring the stack there, once a step: a step that waits afterwards does not run it again."""
        assert self.release.step is not None
        if self.release.settled is not self.release.step:
            self.fleet.install(self.release.name, version.at(hold), on_event=self.on_event)
            self.note(self.release.model_copy(update={"settled": self.release.step}))


Taken = Release | Waiting | None
"""A changed journal, something to wait for, or nothing to say."""


def _check(work: Work) -> Taken:
    release = work.release
    record = work.fleet.record(release.name)
    workload = parse_tenant(record.manifest, source=record.source).tenant.spec.workload
    check_path(workload, work.fleet.catalogue, release.before, release.after)
    # What the new version needs, in the plan and in the quota: raises with every problem.
    work.fleet.specs.of(record, release.after.at(Hold.NONE))
    return None


def _pause(work: Work) -> Taken:
    work.install(work.release.before, Hold.PAUSED)
    spec = work.spec(work.release.before, Hold.PAUSED)
    running = running_schedules(connect({}), spec.names.namespace)
    if not running:
        return None
    limits = [task.deadline_s for module in spec.workload.modules for task in module.tasks]
    longest = timedelta(seconds=max([*limits, spec.backup.deadline_s]))
    return Waiting(sentence=f"scheduled runs still go on: {', '.join(running)}", at_most=longest + _MARGIN)


def _drain(work: Work) -> Taken:
    work.install(work.release.before, Hold.STOPPED)
    return _stopped(work.spec(work.release.before, Hold.STOPPED))


def _stopped(spec: TenantSpec) -> Taken:
    grace = timedelta(seconds=max((module.stop_grace_s for module in spec.workload.modules), default=0))
    pods = running_pods(connect({}), spec)
    if pods:
        shown = ", ".join(pods[:5]) + (f" and {len(pods) - 5} more" if len(pods) > 5 else "")
        return Waiting(sentence=f"{len(pods)} pods are still ending: {shown}", at_most=grace + _MARGIN)
    held = held_messages(spec)
    if held:
        return Waiting(sentence=f"{held} messages or consumers are not given back yet", at_most=grace + _MARGIN)
    return None


def _snapshot(work: Work) -> Taken:
    kept = snapshot(work.spec(work.release.before, Hold.STOPPED))
    return work.release.model_copy(update={"snapshot": kept})


def _migrate(work: Work) -> Taken:
    try:
        work.install(work.release.after, Hold.MIGRATING)
    except RunFailed as error:
        failed = failed_tasks(connect({}), work.spec(work.release.after, Hold.MIGRATING))
        if failed:
            told = "; ".join(f"job {name}: {why}" for name, why in failed.items())
            raise Failed(f"the migration failed: {told}", where=work.release.namespace, hint=error.hint) from error
        raise
    return None


def _roll(work: Work) -> Taken:
    work.install(work.release.after, Hold.PROVING)
    return None


def _verify(work: Work) -> Taken:
    problems = smoke_problems(connect({}), work.spec(work.release.after, Hold.PROVING))
    if problems:
        raise RunFailed(f"the smoke check failed: {'; '.join(problems)}", where=work.release.namespace)
    return None


def _open(work: Work) -> Taken:
    work.install(work.release.after, Hold.NONE)
    return None


def _commit(work: Work) -> Taken:
    work.fleet.installed(work.release.name)
    _forget(work, work.spec(work.release.after, Hold.NONE))
    return None


def _clear(work: Work) -> Taken:
    work.install(work.release.after, Hold.STOPPED)
    waiting = _stopped(work.spec(work.release.after, Hold.STOPPED))
    return Waiting(sentence=waiting.sentence, at_most=None) if isinstance(waiting, Waiting) else waiting


def _restore(work: Work) -> Taken:
    if work.release.snapshot is not None:
        put_back(work.spec(work.release.before, Hold.STOPPED), work.release.snapshot)
    return None


def _reopen(work: Work) -> Taken:
    cluster, spec = connect({}), work.spec(work.release.before, Hold.NONE)
    for name in failed_tasks(cluster, spec):
        # A Job that has failed never runs again: what failed on the way back gets a new one.
        path = f"/apis/batch/v1/namespaces/{spec.names.namespace}/jobs/{name}"
        try:
            cluster.request("DELETE", path, query={"propagationPolicy": "Foreground"})
        except ApiError as error:
            if error.status != 404:
                raise
    work.install(work.release.before, Hold.NONE)
    work.fleet.installed(work.release.name)
    _forget(work, spec)
    return None


def _forget(work: Work, spec: TenantSpec) -> None:
    if work.release.snapshot is not None:
        # Where that fails it goes by its age: no release fails for it.
        with suppress(TenantryError):
            let_go(spec, work.release.snapshot)


STEPS: Mapping[Step, Callable[[Work], Taken]] = {
    Step.CHECK: _check,
    Step.PAUSE: _pause,
    Step.DRAIN: _drain,
    Step.SNAPSHOT: _snapshot,
    Step.MIGRATE: _migrate,
    Step.ROLL: _roll,
    Step.VERIFY: _verify,
    Step.OPEN: _open,
    Step.COMMIT: _commit,
    Step.CLEAR: _clear,
    Step.RESTORE: _restore,
    Step.REOPEN: _reopen,
}
