"""`Deprovisioning`: ask for a tenant's deletion, cancel it, and take it from step to step until nothing is left.

`advance` is what the operator calls in each cycle and the command line in a loop: it takes every step that can be taken
now and returns. A step that fails is noted with its reason; the next call takes it up again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tenantry.deprovisioning.certificate import publish, sign
from tenantry.deprovisioning.erasing import STEPS, Erasing
from tenantry.deprovisioning.saving import final_backup
from tenantry.deprovisioning.surveying import keys_of, survey
from tenantry.engine.interface import OnEvent
from tenantry.fleet import Fleet, Record
from tenantry.fleet.closing import close_workload, reopen_workload, replicas_of, schedules_of, still_open
from tenantry.fleet.deletions import KIND
from tenantry.inventory import Inventory, Kept, Subject, search
from tenantry.openbao import OpenBaoServer
from tenantry.tenancy.deletion import (
    ERASING,
    Deletion,
    Step,
    Tombstone,
    again,
    check_deletable,
    decide,
    retained_copies,
    retry_after,
    unrecoverable_on,
)
from tenantry.tenancy.errors import Conflict, DependencyUnavailable, InvalidInput, RunFailed, TenantryError
from tenantry.tenancy.manifest import parse_tenant
from tenantry.tenancy.spec import DeletionPolicy, TenantSpec

__all__ = ["Advanced", "Deprovisioning", "LeftOver", "Lingering"]

_CLOSE_S = 30
_LINGERS = timedelta(seconds=15)
Progress = Callable[[str], None]


class LeftOver(RunFailed):
    """The inventory found traces. They are never deleted by a guess: a person looks at what was found."""

    code = "LeftOver"


class Lingering(DependencyUnavailable):
    """The inventory found only what its system removes by itself: nobody has to do anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """Where a deletion stands. tombstone: set once the tenant is gone. again_at: when to call again; None: never, by
    itself. error: what the current step failed with, None when nothing fails."""

    deletion: Deletion
    sentence: str
    again_at: datetime | None = None
    tombstone: Tombstone | None = None
    error: TenantryError | None = None


class Deprovisioning:
    """The deletions of one cell."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    # -- asking, and taking back --------------------------------------------------------------------------

    def request(self, name: str, *, by: str, now: bool = False) -> Deletion:
        """Write down the wish; asked again it changes nothing, but `now` ends a grace period that may be ended.

        Raises InvalidInput for a tenant that is not there, Conflict for one that is protected or must have its grace.
        """
        with self._fleet.deletions.exclusive(name):
            known = self._fleet.deletions.get(name)
            if known is not None and known.cancelled_at is not None:
                raise Conflict(f"the deletion of {name} is being cancelled", hint=f"`tenantry tenant undelete {name}`")
            if known is not None and (not now or known.erasing_since is not None):
                return known
            spec = self.spec_of(self._fleet.record(name))
            check_deletable(name, spec.deletion_policy, self._fleet.catalogue.environments[spec.environment], now=now)
            moment = _now()
            deletion = (known or _new(spec, by=by, now=moment)).model_copy(
                update={"due_at": moment if now else moment + timedelta(days=spec.grace_days)}
            )
            self._fleet.deletions.put(deletion)
            return deletion

    def cancel(self, name: str, *, on_event: OnEvent | None = None) -> None:
        """Bring a tenant back from its grace period, under the same incarnation. Raises Conflict once erasing began."""
        with self._fleet.deletions.exclusive(name):
            deletion = self._required(name)
            if deletion.erasing_since is not None:
                raise Conflict(
                    f"the deletion of {name} cannot be cancelled: its data has been erased since "
                    f"{deletion.erasing_since:%Y-%m-%d %H:%M UTC}",
                    where=name,
                    hint=f"finish it: `tenantry tenant delete {name}`",
                )
            record = self._fleet.record(name)
            # Written first: a killed undelete is finished by the next, and never by the erasing.
            deletion = deletion.model_copy(update={"cancelled_at": deletion.cancelled_at or _now()})
            self._fleet.deletions.put(deletion)
            file = parse_tenant(record.manifest, source=record.source)
            (applied,) = self._fleet.up(
                [(file, self.spec_of(record))], on_event=lambda _, event: on_event(event) if on_event else None
            )
            if applied.error is not None:
                raise applied.error
            reopen_workload(deletion.namespace, replicas=deletion.replicas or {}, schedules=deletion.schedules)
            self._fleet.deletions.close(deletion)

    def repeat(self, name: str, *, by: str) -> Deletion:
        """A tenant that was deleted came back, with a cell that was restored: its deletion is due at once, without
        grace, and without a backup of what was to be gone. Its policy was heeded the first time."""
        with self._fleet.deletions.exclusive(name):
            known = self._fleet.deletions.get(name)
            if known is not None and known.erasing_since is not None:
                return known
            moment = _now()
            deletion = _new(self.spec_of(self._fleet.record(name)), by=by, now=moment).model_copy(
                update={"policy": DeletionPolicy.DELETE, "done": {Step.BACKUP: moment}}
            )
            return self._noted(deletion)

    def spec_of(self, record: Record) -> TenantSpec:
        """The tenant as its record has it."""
        return self._fleet.specs.of(record)

    # -- going on -----------------------------------------------------------------------------------------

    def advance(
        self,
        name: str,
        *,
        progress: Progress = lambda _: None,
        on_event: OnEvent | None = None,
        cancelled: Event | None = None,
    ) -> Advanced:
        """Take every step that can be taken now. Steps' failures are in the answer; Locked and a damaged journal are
        raised. cancelled: looked at between steps; the work is then continued by the next call."""
        with self._fleet.deletions.exclusive(name):
            deletion = self._required(name)
            while True:
                decision = decide(deletion, _now())
                if decision.step is None:
                    return self._rest(deletion, decision.sentence, decision.again_at)
                if cancelled is not None and cancelled.is_set():
                    return Advanced(deletion=deletion, sentence="stopped; goes on later", again_at=_now())
                progress(f"{decision.step}: {_DOING[decision.step]}")
                try:
                    deletion = self._take(deletion, decision.step, on_event)
                except Lingering as wait:
                    return Advanced(
                        deletion=self._required(name), sentence=wait.message, again_at=_now() + _LINGERS, error=wait
                    )
                except TenantryError as error:
                    # The journal on disk is newer than ours where the step wrote it before it acted.
                    noted = self._required(name).with_failure(
                        decision.step, code=error.code, message=error.message, hint=error.hint, now=_now()
                    )
                    self._fleet.deletions.put(noted)
                    assert noted.failure is not None
                    return Advanced(
                        deletion=noted,
                        sentence=f"step {decision.step} does not work yet: {error.message}",
                        again_at=_now() + retry_after(noted.failure),
                        error=error,
                    )

    def _take(self, deletion: Deletion, step: Step, on_event: OnEvent | None) -> Deletion:
        if step in ERASING and deletion.erasing_since is None:
            deletion = self._noted(deletion.model_copy(update={"erasing_since": _now()}))
        match step:
            case Step.CLOSE:
                deletion = self._close(deletion)
            case Step.BACKUP:
                spec = self.spec_of(self._fleet.record(deletion.name))
                deletion = deletion.model_copy(update={"backup": final_backup(spec, since=deletion.due_at)})
            case Step.SURVEY:
                found = survey(self._fleet, deletion)
                deletion = deletion.model_copy(update={"survey": found, "keys": keys_of(self._fleet, deletion)})
            case Step.INVENTORY:
                deletion = self._inventory(deletion)
            case Step.CERTIFICATE:
                self._certify(deletion)
            case _:
                STEPS[step](
                    Erasing(fleet=self._fleet, deletion=deletion, authority=self._authority(), on_event=on_event)
                )
        if step in (Step.KEYS, Step.STATE):
            deletion = _destroyed(deletion, state=step is Step.STATE)
        return self._noted(deletion.with_done(step, _now()))

    def _close(self, deletion: Deletion) -> Deletion:
        if deletion.replicas is None:
            standing = {
                "replicas": replicas_of(deletion.namespace),
                "schedules": schedules_of(deletion.namespace),
            }
            deletion = self._noted(deletion.model_copy(update=standing))
        close_workload(deletion.namespace)
        left = Retrying(
            retry=retry_if_result(bool),
            stop=stop_after_delay(_CLOSE_S),
            wait=wait_fixed(0.5),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else (),
        )(still_open, deletion.namespace)
        if left:
            raise DependencyUnavailable(
                f"the workload is still stopping: {', '.join(left)}",
                where=deletion.namespace,
                hint="pods end within their grace period; a node that is gone holds its pods for some minutes",
            )
        return deletion

    def _inventory(self, deletion: Deletion) -> Deletion:
        found = self.inventory(deletion)
        deletion = deletion.model_copy(update={"inventory": found.model_dump(mode="json")})
        if found.left:
            self._noted(again(deletion))
            shown = "; ".join(str(one) for one in found.left[:5])
            more = f"; and {len(found.left) - 5} more" if len(found.left) > 5 else ""
            if all(one.lingers for one in found.left):
                raise Lingering(f"all is erased; Kubernetes still removes what it noted by itself: {shown}{more}")
            raise LeftOver(
                f"the inventory found what still carries incarnation {deletion.incarnation}: {shown}{more}",
                where=found.left[0].name,
                hint="nobody deletes by a guess: remove it if it is the tenant's; the deletion then ends by itself",
            )
        return deletion

    def inventory(self, deletion: Deletion) -> Inventory:
        """Search every system for what still carries the tenant's incarnation. Reads only."""
        subject = Subject(name=deletion.name, incarnation=deletion.incarnation, hosts=deletion.hosts)
        kept = [
            # The deletion's own journal goes when the tombstone stands.
            Kept(system="files", what=what, until=None)
            for what in (
                f"operations/{deletion.namespace}",
                f"operations/{deletion.namespace}/{KIND}.json",
                f"tombstones/{deletion.namespace}.json",
            )
        ]
        days = self._fleet.cell.spec.copies.tenant_backup_days
        if deletion.policy is not DeletionPolicy.DELETE and days:
            until = _now().date() + timedelta(days=days)
            kept.append(Kept(system="store", what=f"tenants/{deletion.namespace}/", until=until))
        return search(subject, cell=self._fleet.cell, root=self._fleet.folder, token=self._token(), kept=kept)

    def _authority(self) -> OpenBaoServer:
        """OpenBao with the deprovisioner's rights."""
        return OpenBaoServer(
            address=self._fleet.cell.spec.openbao.address,
            token=self._token(),
            ca_file=os.environ.get("VAULT_CACERT") or None,
        )

    def _token(self) -> str:
        token = self._fleet.deprovisioner.token() or os.environ.get("VAULT_TOKEN")
        if not token:
            raise DependencyUnavailable(
                "there is no token of the deprovisioner here, and VAULT_TOKEN is not set",
                where=str(self._fleet.deprovisioner.path),
                hint="`tenantry cell up` makes one; elsewhere: bao token create -role=tenantry-deprovisioner",
            )
        return token

    def _certify(self, deletion: Deletion) -> None:
        if self._fleet.deletions.tombstone(deletion.namespace) is not None:
            return  # signed by a run that was killed right afterwards
        erased_at = deletion.done[Step.INVENTORY]
        retained = retained_copies(self._fleet.cell.spec.copies, deletion.policy, erased_at.date())
        gone_on = unrecoverable_on(retained, erased_at.date())
        certificate, public = sign(
            {
                **_payload(deletion),
                "cell": self._fleet.cell.metadata.name,
                "retained": [one.model_dump(mode="json") for one in retained],
                "unrecoverable": {
                    "on": gone_on.isoformat(),
                    "waitsFor": [one.what for one in retained if one.holds_back],
                },
            },
            openbao=self._authority(),
            transit_mount=self._fleet.cell.spec.openbao.transit_mount,
        )
        publish(self._fleet.folder, public)
        self._fleet.deletions.bury(
            Tombstone(
                name=deletion.name,
                incarnation=deletion.incarnation,
                namespace=deletion.namespace,
                erased_at=erased_at,
                unrecoverable_on=gone_on,
                digest=certificate.digest,
                certificate=certificate.model_dump(mode="json"),
                retained=retained,
            )
        )

    def _rest(self, deletion: Deletion, sentence: str, again_at: datetime | None) -> Advanced:
        tombstone = self._fleet.deletions.tombstone(deletion.namespace)
        if Step.CERTIFICATE in deletion.done:
            self._fleet.deletions.forget(deletion)
        return Advanced(deletion=deletion, sentence=sentence, again_at=again_at, tombstone=tombstone)

    def _required(self, name: str) -> Deletion:
        found = self._fleet.deletions.get(name)
        if found is None:
            raise InvalidInput(
                f"tenant {name} is not being deleted", hint="`tenantry tenant delete` begins; `tenant list` shows all"
            )
        return found

    def _noted(self, deletion: Deletion) -> Deletion:
        self._fleet.deletions.put(deletion)
        return deletion


_DOING = {
    Step.CLOSE: "closing the ingress, stopping the workload; data is kept",
    Step.BACKUP: "taking the final backup",
    Step.SURVEY: "counting what is there",
    Step.STACK: "destroying the stack",
    Step.DATABASE: "dropping schema and accounts",
    Step.MESSAGING: "dropping virtual host and user",
    Step.CACHE: "dropping the cache's account and keys",
    Step.NAMESPACE: "deleting the namespace",
    Step.LEASES: "revoking tokens and identities",
    Step.SECRETS: "deleting secrets, all versions",
    Step.KEYS: "destroying the tenant's key",
    Step.COPIES: "letting go of backups",
    Step.STATE: "removing state, history and the state's key",
    Step.RECORD: "forgetting the record",
    Step.INVENTORY: "searching every system for what is left",
    Step.CERTIFICATE: "signing the certificate",
}


def _new(spec: TenantSpec, *, by: str, now: datetime) -> Deletion:
    return Deletion(
        name=spec.name,
        incarnation=spec.incarnation,
        namespace=spec.names.namespace,
        hosts=spec.hosts,
        policy=spec.deletion_policy,
        requested_at=now,
        requested_by=by,
        due_at=now,
    )


def _destroyed(deletion: Deletion, *, state: bool) -> Deletion:
    """Note when a key was seen to be gone: the state's, or the tenant's own."""
    when = _now()
    keys = tuple(
        key.model_copy(update={"destroyed_at": key.destroyed_at or when}) if ("/state-" in key.name) is state else key
        for key in deletion.keys
    )
    return deletion.model_copy(update={"keys": keys})


def _payload(deletion: Deletion) -> dict[str, Any]:
    plain = deletion.model_dump(mode="json")
    return {
        "tenant": deletion.name,
        "incarnation": deletion.incarnation,
        "policy": deletion.policy.value,
        "requestedAt": plain["requested_at"],
        "requestedBy": deletion.requested_by,
        "graceEndedAt": plain["due_at"],
        "erasedAt": plain["done"][Step.INVENTORY],
        "found": plain["survey"],
        "finalBackup": plain["backup"],
        "keysDestroyed": plain["keys"],
        "steps": plain["done"],
        "inventory": plain["inventory"],
    }


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
