"""`Releasing`: asks for a release of a tenant, and takes it forward, or back, step by step.

Called by the command line in a cell without an operator, and by the operator's action. Every call goes on from where
the journal stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event

from tenantry.engine.cluster import ApiError, as_ours
from tenantry.engine.interface import OnEvent
from tenantry.fleet import Fleet
from tenantry.recovery.restoring import restoration_of
from tenantry.releasing.steps import STEPS, Failed, Waiting, Work
from tenantry.tenancy.errors import (
    Conflict,
    DependencyUnavailable,
    InvalidInput,
    Locked,
    TenantryError,
    Unsupported,
    in_full,
)
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.release import DOING, Release, Step, Version, decide, gives_up, told
from tenantry.tenancy.upgrading import check_path

__all__ = ["Advanced", "Releasing"]

_LOOK_AGAIN = timedelta(seconds=2)
_HOPELESS = (InvalidInput, Conflict, Unsupported, Failed)
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """How far a call came. again_after: there is more to do, after this time; None: it has ended. error: what stands
    in the way at present."""

    release: Release
    sentence: str
    again_after: timedelta | None
    error: TenantryError | None = None


class Releasing:
    """fleet: the cell's, as its provisioner."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def request(self, name: str, after: Version, *, by: str, request: str = "", at_once: bool = False) -> Release:
        """Ask for a version; nothing is done to the tenant yet. Asking again for the same changes nothing, but that it
        may then begin at once.

        request: the annotation that stands on the Tenant now, from now on heeded. Raises InvalidInput for a version
        that is not to be had or that it runs, Conflict while another release or a restore is under way.
        """
        with self._fleet.releases.exclusive(name):
            record = self._fleet.record(name)
            self._check_not_restoring(name, record.namespace)
            last = self._fleet.releases.get(record.namespace)
            if last is not None and last.is_open:
                if last.after == after:
                    return self._noted(last.model_copy(update={"at_once": last.at_once or at_once}))
                if last.has_begun(Step.CHECK):
                    raise Conflict(
                        f"the release of {name} to {last.after} is under way",
                        where=name,
                        hint=f"let it end: `tenantry tenant upgrade {name}`",
                    )
            if record.finished_at is None:
                raise Conflict(
                    f"tenant {name} has never been made in full", where=name, hint="run `tenantry tenant up` first"
                )
            workload = parse_tenant(record.manifest, source=record.source).tenant.spec.workload
            check_path(workload, self._fleet.catalogue, record.running, after)
            return self._noted(
                Release(
                    name=name,
                    incarnation=record.incarnation,
                    namespace=record.namespace,
                    before=record.running,
                    after=after,
                    by=by,
                    request=request,
                    at_once=at_once,
                    requested_at=_now(),
                )
            )

    def dismiss(self, name: str) -> None:
        """Forget a release that failed or that never began: somebody has decided for what runs."""
        with self._fleet.releases.exclusive(name):
            last = self._fleet.releases.get(self._fleet.record(name).namespace)
            if last is not None and (last.failed or not last.has_begun(Step.PAUSE)):
                self._fleet.releases.close(last)

    def advance(
        self,
        name: str,
        *,
        progress: Progress = lambda _: None,
        on_event: OnEvent | None = None,
        cancelled: Event | None = None,
    ) -> Advanced:
        """Take every step that can be taken now. What stands in a step's way is in the answer; Locked, a damaged
        journal, and Conflict while a restore is under way, are raised. cancelled: looked at between steps; the next
        call goes on."""
        with self._fleet.releases.exclusive(name):
            release = self._required(name)
            self._check_not_restoring(name, release.namespace)
            while True:
                decision = decide(release)
                if decision.end is not None:
                    release = self._noted(release.ended(decision.end, _now()))
                if decision.step is None:
                    return Advanced(release=release, sentence=told(release), again_after=None)
                if cancelled is not None and cancelled.is_set():
                    return Advanced(release=release, sentence="stopped; goes on later", again_after=timedelta())
                if release.step is not decision.step:
                    progress(f"{decision.step}: {DOING[decision.step]}")
                release = self._noted(release.beginning(decision.step, _now()))
                answer = self._take(release, on_event, cancelled)
                if isinstance(answer, Advanced):
                    if answer.again_after is not None:
                        progress(f"{decision.step}: {answer.sentence}")
                    return answer
                release = answer

    def _take(self, release: Release, on_event: OnEvent | None, cancelled: Event | None) -> Release | Advanced:
        """The journal after one step, or after it was decided to go back; else how far it came."""
        assert release.step is not None
        now = _now()
        work = Work(fleet=self._fleet, release=release, note=self._noted, on_event=on_event, now=now)
        try:
            taken = STEPS[release.step](work)
        except (ApiError, TenantryError) as error:
            if cancelled is not None and cancelled.is_set():
                # The error is what the stopping made of the run.
                return Advanced(release=release, sentence="stopped; goes on later", again_after=timedelta())
            return self._after_failure(release, as_ours(error, where=release.namespace))
        # The step may have noted something of its own.
        current = taken if isinstance(taken, Release) else self._required(release.name)
        if not isinstance(taken, Waiting):
            return self._noted(current.with_done(release.step, _now()))
        late = taken.at_most is not None and release.since is not None and now - release.since > taken.at_most
        if late and release.going_back is None and not release.forward_only:
            return self._noted(current.turned_back(f"step {release.step}: {taken.sentence}"))
        return Advanced(release=current, sentence=taken.sentence, again_after=_LOOK_AGAIN)

    def _after_failure(self, release: Release, error: TenantryError) -> Release | Advanced:
        assert release.step is not None
        failing = self._required(release.name).with_failure(code=error.code, message=in_full(error), now=_now())
        missing = isinstance(error, DependencyUnavailable | Locked)
        may_turn = failing.going_back is None and not failing.forward_only
        hopeless = may_turn and isinstance(error, _HOPELESS)
        if hopeless or gives_up(failing, _now(), missing=missing):
            return self._noted(failing.turned_back(f"step {release.step}: {in_full(error)}"))
        self._noted(failing)
        sentence = f"step {release.step} does not work yet: {in_full(error)}"
        return Advanced(release=failing, sentence=sentence, again_after=_LOOK_AGAIN, error=error)

    def _required(self, name: str) -> Release:
        found = self._fleet.releases.get(self._fleet.record(name).namespace)
        if found is None:
            raise InvalidInput(
                f"no release of tenant {name} was asked for", hint=f"`tenantry tenant upgrade {name}` begins one"
            )
        return found

    def _check_not_restoring(self, name: str, namespace: str) -> None:
        """A restore that has stopped the workload would be undone by ours, or undo it."""
        restoration = restoration_of(self._fleet.operations(namespace))
        if restoration is not None and restoration.under_way:
            raise Conflict(f"a restore of {name} is under way: {restoration.goal}", where=name, hint="let it end first")

    def _noted(self, release: Release) -> Release:
        self._fleet.releases.put(release)
        return release


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
