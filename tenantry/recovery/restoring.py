"""`Restoring`: bring a tenant back from one of its backups, or from a moment, step by step.

`advance` is what the operator calls and the command line too: it takes every step that can be taken now. The backup is
checked, loaded beside the tenant's schema and proved while the workload still runs; only then is it stopped, and what
is there kept as a snapshot. What goes wrong before the swap leads back to what was there, by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tenacity import (
    Retrying,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from tenantry.backup.catalogue import catalogue
from tenantry.backup.manifest import Manifest
from tenantry.backup.restoring import check_with_keys
from tenantry.backup.stopping import Stopped
from tenantry.backup.surroundings import Surroundings
from tenantry.backup.taking import APPLICATION_SECRETS
from tenantry.engine.cluster import ApiError, as_ours
from tenantry.fleet.closing import reopen_workload, replicas_of, schedules_of, still_running, stop_workload
from tenantry.fleet.fleet import Fleet
from tenantry.fleet.operations import ORIGIN, Operations
from tenantry.recovery.application_secrets import keep_secrets, saved_secrets
from tenantry.recovery.identity import SNAPSHOTS, as_tenant, holds_data
from tenantry.recovery.keeper import keeper_of
from tenantry.recovery.media import bring_media, volumes_of
from tenantry.recovery.point_in_time import check_moment, replayed
from tenantry.recovery.schema import SchemaRestore
from tenantry.recovery.snapshots import snapshot
from tenantry.tenancy.errors import (
    Conflict,
    DependencyUnavailable,
    InvalidInput,
    RunFailed,
    StateCorrupt,
    TenantryError,
    Unsupported,
)
from tenantry.tenancy.recovery import Goal, Restoration, Step, next_step
from tenantry.tenancy.spec import TenantSpec

__all__ = ["KIND", "Restoring", "refuse", "restoration_of"]

KIND = "restore"
_STOP_S = 60
_HOPELESS = (InvalidInput, Conflict, Unsupported, StateCorrupt, RunFailed)
"""Another attempt with the same backup would be no better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a step works: the tenant, whose backup it is, and the schema."""

    around: Surroundings
    source: Surroundings
    schema: SchemaRestore


def restoration_of(operations: Operations, kind: str = KIND) -> Restoration | None:
    """A restore's journal, under way or ended. Raises StateCorrupt."""
    return operations.load(kind, Restoration)


def refuse(operations: Operations, kind: str, asked: str, error: TenantryError) -> None:
    """Note a wish that cannot be begun, so that it is answered once."""
    now = _now()
    refused = Restoration(asked=asked, goal=Goal(), requested_at=now, problem=_told(error), ended_at=now)
    operations.put(kind, refused.model_dump(mode="json"))


class Restoring:
    """Restores into one tenant. origin: the tenant whose backup it is, None for its own; then nothing of the workload
    may have been started yet. progress: is told each step. stopping: asked between steps and all the time in long ones;
    what it stops is gone on with by the next call."""

    def __init__(
        self,
        fleet: Fleet,
        spec: TenantSpec,
        *,
        origin: TenantSpec | None = None,
        progress: Callable[[str], None] = lambda _: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._fleet = fleet
        self._spec = spec
        self._origin = origin
        self._source = origin or spec
        self._operations = fleet.operations(spec.names.namespace)
        self._kind = ORIGIN if origin else KIND
        self._progress = progress
        self._stopping = stopping

    def journal(self) -> Restoration | None:
        """The last restore, under way or ended. Raises StateCorrupt."""
        return restoration_of(self._operations, self._kind)

    def check(self, goal: Goal) -> None:
        """Whether there is such a backup, or a way to the moment, so far as that costs little to know. Raises
        InvalidInput or Unsupported when there is none."""
        if goal.at is not None:
            check_moment(self._source, goal.at)
        elif goal.backup is not None:
            with as_tenant(self._source, folder=self._folder(goal.backup)) as source:
                catalogue(source.store).find(goal.backup)

    def request(self, asked: str, goal: Goal) -> Restoration:
        """Write down the wish; the same one asked again changes nothing. Raises Conflict while another is under way or
        the tenant is being deleted, Unsupported where this tenant's database cannot be reached from here."""
        known = self.journal()
        if known is not None and (known.asked == asked or known.ended_at is None):
            if known.asked == asked:
                return known
            raise Conflict(
                f"another restore of {self._spec.name} is under way: {known.goal}",
                where=self._spec.name,
                hint="let it end first",
            )
        self._check_possible()
        self._check_not_releasing()
        restoration = Restoration(
            asked=asked,
            goal=goal,
            requested_at=_now(),
            origin=self._origin.names.namespace if self._origin else "",
        )
        return self._noted(restoration)

    def give_up(self, why: str) -> None:
        """Lead a restore back that is under way, if the swap has not begun; else it is only finished."""
        known = self.journal()
        if known is not None and known.may_go_back and not known.problem:
            self._noted(known.model_copy(update={"problem": why}))

    def advance(self) -> Restoration:
        """Take every step that can be taken now. The answer has ended, with or without a problem, or was asked to stop.
        Raises what a later call may well overcome: Conflict while a release is under way, Locked,
        DependencyUnavailable, after the swap also others."""
        restoration = self.journal()
        if restoration is None:
            raise InvalidInput(f"no restore of {self._spec.name} was asked for")
        self._check_living()
        if restoration.ended_at is None and not restoration.under_way:
            self._check_not_releasing()
        while (step := next_step(restoration)) is not None:
            if self._stopping():
                return restoration
            self._progress(f"{step}: {_DOING[step]}")
            try:
                restoration = self._take(restoration, step)
            except Stopped:
                return restoration
            except (ApiError, TenantryError) as error:
                ours = as_ours(error, where=self._spec.names.namespace)
                restoration = self.journal() or restoration
                if not self._hopeless(restoration, ours):
                    raise ours from error.__cause__
                restoration = self._noted(restoration.model_copy(update={"problem": _told(ours)}))
        if restoration.ended_at is None:
            # Whose backup it was is forgotten: nothing of a tenant is to be found in another's journal.
            restoration = self._noted(restoration.model_copy(update={"ended_at": _now(), "origin": ""}))
        return restoration

    # -- steps --------------------------------------------------------------------------------------------

    def _take(self, restoration: Restoration, step: Step) -> Restoration:
        if step is Step.SWAP and (repeated := self._undone(restoration)):
            left = {key: at for key, at in restoration.done.items() if key not in repeated}
            return self._noted(restoration.model_copy(update={"done": left}))
        steps: dict[Step, Callable[[Restoration], Restoration]] = {
            Step.CHECK: self._check,
            Step.LOAD: self._load,
            Step.STOP: self._stop,
            Step.SAVE: self._save,
            Step.SWAP: self._swap,
            Step.DEFINE: self._define,
            Step.SECRETS: self._bring_secrets,
            Step.MEDIA: self._bring_media,
            Step.START: self._start,
            Step.CLEAN: self._clean,
        }
        return self._noted(steps[step](restoration).with_done(step, _now()))

    def _check(self, restoration: Restoration) -> Restoration:
        goal = restoration.goal
        if goal.at is not None:
            check_moment(self._source, goal.at)
            identifier = f"at-{goal.at:%Y%m%dT%H%M%SZ}"
        else:
            folder = self._folder(goal.backup)
            with as_tenant(self._source, folder=folder) as source:
                manifest = catalogue(source.store).find(goal.backup)
                check_with_keys(source, manifest)
            identifier = manifest.id
        return restoration.model_copy(update={"backup": identifier})

    def _load(self, restoration: Restoration) -> Restoration:
        with self._place(restoration) as place, place.schema.locked():
            if restoration.goal.at is not None:
                with replayed(
                    self._source,
                    at=restoration.goal.at,
                    progress=self._progress,
                    stopping=self._stopping,
                ) as dump:
                    place.schema.fill(dump, identifier=str(restoration.backup), expected=dump.content)
            else:
                place.schema.load(self._manifest(place.source, restoration), origin=place.source)
            definitions = place.schema.definitions()
        return restoration.model_copy(update={"definitions": definitions})

    def _stop(self, restoration: Restoration) -> Restoration:
        if self._origin is not None:
            return restoration
        namespace = self._spec.names.namespace
        if restoration.replicas is None:
            standing = {
                "replicas": replicas_of(namespace),
                "schedules": schedules_of(namespace),
                "stopped_since": _now(),
            }
            restoration = self._noted(restoration.model_copy(update=standing))
        stop_workload(namespace)
        left = Retrying(
            retry=retry_if_result(bool),
            stop=stop_after_delay(_STOP_S),
            wait=wait_fixed(0.5),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else (),
        )(still_running, namespace)
        if left:
            raise DependencyUnavailable(
                f"the workload is still stopping: {', '.join(left)}",
                where=namespace,
                hint="pods end within their grace period; a node that is gone holds its pods for some minutes",
            )
        return restoration

    def _save(self, restoration: Restoration) -> Restoration:
        if self._origin is not None:
            return restoration
        try:
            return restoration.model_copy(update={"saved": snapshot(self._spec), "unsaved": ""})
        except RunFailed as error:
            # A schema too broken to be dumped is a reason to restore, not one to refuse.
            return restoration.model_copy(update={"unsaved": error.message})

    def _undone(self, restoration: Restoration) -> tuple[Step, ...]:
        """What another has undone meanwhile, while we waited: cleaned up what was loaded, or started the workload."""
        identifier = restoration.backup or ""
        with self._place(restoration) as place:
            if place.schema.swapped(identifier):
                return ()
            if not place.schema.loaded(identifier):
                return (Step.LOAD, Step.SAVE)
        if self._origin is None and still_running(self._spec.names.namespace):
            return (Step.STOP, Step.SAVE)
        return ()

    def _swap(self, restoration: Restoration) -> Restoration:
        with self._place(restoration) as place, place.schema.locked():
            place.schema.swap(restoration.backup or "")
        return restoration

    def _define(self, restoration: Restoration) -> Restoration:
        with self._place(restoration) as place, place.schema.locked():
            place.schema.define(restoration.definitions)
        return restoration

    def _start(self, restoration: Restoration) -> Restoration:
        if restoration.replicas is not None:
            namespace = self._spec.names.namespace
            reopen_workload(namespace, replicas=restoration.replicas, schedules=restoration.schedules)
        return restoration

    def _clean(self, restoration: Restoration) -> Restoration:
        with self._place(restoration) as place, place.schema.locked():
            place.schema.clean(before=not restoration.unsaved or bool(restoration.problem))
        return restoration

    def _bring_secrets(self, restoration: Restoration) -> Restoration:
        """The application's own secrets, without which it could not read what it had encrypted in its rows."""
        with self._place(restoration) as place:
            if restoration.goal.at is not None:
                fields = place.source.openbao.secret(APPLICATION_SECRETS)
            else:
                manifest = self._manifest(place.source, restoration)
                fields = saved_secrets(place.source, manifest)
        if fields:
            keep_secrets(self._spec, {str(name): str(value) for name, value in fields.items()})
        return restoration

    def _bring_media(self, restoration: Restoration) -> Restoration:
        kept = volumes_of(self._spec)
        if not kept or restoration.goal.at is not None:
            return restoration
        with self._place(restoration) as place:
            manifest = self._manifest(place.source, restoration)
            saved = {part.volume for part in manifest.parts if part.kind == "media"}
            volumes = [name for name in kept if name in saved]
            if not volumes:
                return restoration
            origin = place.source if self._origin else None
            # Without backups there is nothing that a Job could log in with.
            if self._spec.backup.enabled and bring_media(
                self._spec, manifest, volumes, origin=origin, stopping=self._stopping
            ):
                return restoration
        # Not a reason to stay away: what is there is older or newer, and another restore can bring them.
        return restoration.model_copy(update={"left_out": f"files of {', '.join(volumes)}"})

    # -- parts --------------------------------------------------------------------------------------------

    @contextmanager
    def _place(self, restoration: Restoration) -> Iterator[_Place]:
        folder = "" if restoration.goal.at is not None else self._folder(restoration.backup)
        with as_tenant(self._spec) as around, as_tenant(self._source, folder=folder) as source:
            schema = SchemaRestore(around, keeper_of(self._spec, around), stopping=self._stopping)
            yield _Place(around=around, source=source, schema=schema)

    def _folder(self, identifier: str | None) -> str:
        """Where the backup is: among the backups, or among what was kept before something risky."""
        if identifier is None:
            return ""
        with as_tenant(self._source, folder=SNAPSHOTS) as aside:
            found = catalogue(aside.store).whole
        return SNAPSHOTS if any(one.id == identifier for one in found) else ""

    @staticmethod
    def _manifest(source: Surroundings, restoration: Restoration) -> Manifest:
        return catalogue(source.store).find(restoration.backup)

    def _hopeless(self, restoration: Restoration, error: TenantryError) -> bool:
        """Whether to lead back: while that is possible, for what would go wrong again, or has for too long."""
        if not restoration.may_go_back or restoration.problem:
            return False
        return isinstance(error, _HOPELESS) or restoration.waits_too_long(_now())

    def _check_possible(self) -> None:
        for spec in (self._spec, self._source):
            if not holds_data(spec):
                raise Unsupported(
                    f"tenant {spec.name} has a database server of its own, which is simulated here and holds no data",
                    where="spec.database.tier",
                    hint="on simulated nodes restore between tenants on the cell's shared server",
                )
        self._check_living()

    def _check_living(self) -> None:
        for spec in {self._spec.name: self._spec, self._source.name: self._source}.values():
            deletion = self._fleet.deletions.get(spec.name)
            if deletion is not None and deletion.cancelled_at is None:
                raise Conflict(
                    f"tenant {spec.name} is being deleted",
                    where=spec.name,
                    hint=f"`tenantry tenant undelete {spec.name}` brings it back, with its data",
                )

    def _check_not_releasing(self) -> None:
        release = self._fleet.releases.get(self._spec.names.namespace)
        if release is not None and release.under_way:
            raise Conflict(
                f"a release of {self._spec.name} is under way",
                where=self._spec.name,
                hint="let it end first; one that fails leads back by itself",
            )

    def _noted(self, restoration: Restoration) -> Restoration:
        self._operations.put(self._kind, restoration.model_dump(mode="json"))
        return restoration


_DOING = {
    Step.CHECK: "reading the backup back, every object of it",
    Step.LOAD: "loading it beside the tenant's schema, and comparing it with what was taken",
    Step.STOP: "stopping the workload",
    Step.SAVE: "keeping what is there now",
    Step.SWAP: "swapping the tables",
    Step.DEFINE: "making views and triggers",
    Step.SECRETS: "bringing the application's secrets back",
    Step.MEDIA: "bringing media back",
    Step.START: "starting the workload",
    Step.CLEAN: "tidying up",
}


def _told(error: TenantryError) -> str:
    return error.message + (f"; {error.hint}" if error.hint else "")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
