"""Deprovisioning: a Tenant that is to be deleted goes from its grace period to its certificate.

The steps and their journal are `tenantry.deprovisioning`'s. Here it is decided from the object whether the deletion is
wanted, and the object itself goes last.
"""

from __future__ import annotations

import time
from datetime import timedelta

from tenantry.deprovisioning import Deprovisioning, Lingering
from tenantry.engine.cluster import ApiError
from tenantry.fleet.field_owners import APPLIER, adopted
from tenantry.fleet.tenant_objects import path_of
from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status
from tenantry.tenancy.deletion import DELETE, DELETE_NOW, INCARNATION, UNDELETE, Deletion, Step, decide
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry.tenancy.lifecycle import Claim, Verb
from tenantry.tenancy.spec import DeletionPolicy
from tenantry_operator.contract import Context, Outcome

__all__ = ["Deprovision"]

_MERGE = "application/merge-patch+json"
_GONE_S = 20.0
_LEFT_OUT = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields")


class Deprovision:
    verb = Verb.DEPROVISION

    def claim(self, context: Context) -> Claim | None:
        deletion = context.fleet.deletions.get(context.name)
        if deletion is None:
            if _wanted(context):
                return Claim(verb=self.verb, why="its deletion was asked for", at=context.now)
            return (
                Claim(verb=self.verb, why="its deletion was taken back", at=context.now) if context.deleting else None
            )
        if not _wanted(context) and deletion.erasing_since is None:
            return Claim(verb=self.verb, why="its deletion was taken back", at=context.now)
        decision = decide(deletion, context.now)
        return Claim(verb=self.verb, why=decision.sentence, at=decision.again_at or context.now)

    def act(self, context: Context) -> Outcome:
        deprovisioning = Deprovisioning(context.fleet)
        deletion = context.fleet.deletions.get(context.name)
        if not _wanted(context) and (deletion is None or deletion.erasing_since is None):
            if deletion is not None:
                context.progress("bringing it back with all its data")
                deprovisioning.cancel(context.name)
            if context.deleting:
                _make_anew(context)
            return Outcome(sentence="its deletion was taken back; all its data is there")
        if deletion is None and context.record is None:
            return self._gone(context, "nothing of it is left")
        deprovisioning.request(context.name, by="the Tenant object", now=_at_once(context))
        advanced = deprovisioning.advance(context.name, progress=context.progress, cancelled=context.cancelled)
        if advanced.error is not None and not isinstance(advanced.error, Lingering):
            raise advanced.error
        if advanced.tombstone is not None:
            return self._gone(context, f"gone; its certificate is {advanced.tombstone.digest}")
        again_after = None if advanced.again_at is None else max(advanced.again_at - context.now, timedelta(0))
        return Outcome(sentence=advanced.sentence, again_after=again_after)

    @staticmethod
    def _gone(context: Context, sentence: str) -> Outcome:
        if not context.deleting:
            uid = context.body["metadata"]["uid"]
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
            try:
                context.kubernetes.request("DELETE", path_of(context.name), body=options)
            except ApiError as error:
                if error.status not in (404, 409):
                    raise DependencyUnavailable(
                        f"the API server does not delete the Tenant object ({error.status})", where=context.name
                    ) from None
        return Outcome(sentence=sentence, release_finalizer=True)

    def conditions(self, context: Context) -> tuple[Condition, ...]:
        deletion = context.fleet.deletions.get(context.name)
        if deletion is None or deletion.cancelled_at is not None:
            if not context.deleting:
                return ()
            return (_asked(context),)
        if deletion.erasing_since is None:
            return (_condition(ConditionType.DELETING, Status.TRUE, Reason.GRACE_PERIOD, _grace(context, deletion)),)
        return tuple(_erasing(deletion))


def _wanted(context: Context) -> bool:
    if context.deleting:
        return UNDELETE not in context.annotations
    return DELETE in context.annotations


def _at_once(context: Context) -> bool:
    return context.annotations.get(DELETE) == DELETE_NOW


def _make_anew(context: Context) -> None:
    """Kubernetes never takes a deletion back, so the object goes, and comes anew for the same life of the tenant."""
    path, metadata = path_of(context.name), context.body["metadata"]
    release = {"metadata": {"uid": metadata["uid"], "finalizers": []}}
    try:
        context.kubernetes.request("PATCH", path, body=release, content_type=_MERGE)
    except ApiError as error:
        if error.status not in (404, 409):
            raise
    deadline = time.monotonic() + _GONE_S
    while (live := context.kubernetes.get(path)) is not None and live["metadata"]["uid"] == metadata["uid"]:
        if time.monotonic() > deadline:
            raise DependencyUnavailable(
                "its object still has a finalizer of somebody else's",
                where=context.name,
                hint="it is made anew as soon as that controller lets it go",
            )
        context.cancelled.wait(0.2)
    kept = {key: value for key, value in metadata.items() if key not in (*_LEFT_OUT, "deletionGracePeriodSeconds")}
    annotations = {key: value for key, value in context.annotations.items() if key not in (DELETE, UNDELETE)}
    body = {
        "apiVersion": context.body["apiVersion"],
        "kind": "Tenant",
        "metadata": {**kept, "finalizers": [], "annotations": {**annotations, INCARNATION: context.incarnation}},
        "spec": context.body["spec"],
    }
    try:
        made = context.kubernetes.request("POST", path_of(), query={"fieldManager": APPLIER}, body=body)
    except ApiError as error:
        if error.status != 409:  # somebody was faster
            raise
        return
    # Noted as applied: else applying the tenant's file again would meet somebody else's fields, though of our name.
    change = {"metadata": {"uid": made["metadata"]["uid"], "managedFields": adopted(made, everybody=False)}}
    context.kubernetes.request("PATCH", path, body=change, content_type=_MERGE)


def _asked(context: Context) -> Condition:
    """The object was deleted, and nothing was done about it yet: because it begins now, or is not allowed."""
    if context.spec is not None and context.spec.deletion_policy is DeletionPolicy.PROTECT:
        message = (
            "its object was deleted, but its deletion policy is `protect`: nothing is touched; to go back: "
            f"kubectl annotate tenant {context.name} {UNDELETE}=requested"
        )
        return _condition(ConditionType.DELETING, Status.FALSE, Reason.REFUSED, message)
    return _condition(
        ConditionType.DELETING, Status.TRUE, Reason.GRACE_PERIOD, "its object was deleted; it is closed now"
    )


def _grace(context: Context, deletion: Deletion) -> str:
    how = (
        f"kubectl annotate tenant {deletion.name} {UNDELETE}=requested"
        if context.deleting
        else f"tenantry tenant undelete {deletion.name}"
    )
    failing = f" ({deletion.failure.message})" if deletion.failure else ""
    return f"closed, all data kept until {deletion.due_at:%Y-%m-%d %H:%M UTC}{failing}; to take it back: {how}"


def _erasing(deletion: Deletion) -> list[Condition]:
    if deletion.failure is not None:
        standing = f"step {deletion.failure.step} does not work yet: {deletion.failure.message}"
    else:
        standing = f"{len(deletion.done)} of {len(Step)} steps done"
    destroyed = Step.KEYS in deletion.done
    return [
        _condition(ConditionType.DELETING, Status.TRUE, Reason.ERASING, standing),
        _condition(
            ConditionType.KEYS_DESTROYED,
            Status.TRUE if destroyed else Status.FALSE,
            Reason.ERASING,
            "the tenant's key is destroyed: none of its backups opens"
            if destroyed
            else "the tenant's key still exists",
        ),
        _condition(
            ConditionType.UNRECOVERABLE,
            Status.FALSE,
            Reason.ERASING,
            "older copies may still hold its key or data; the certificate will name each with its last day",
        ),
    ]


def _condition(kind: ConditionType, status: Status, reason: Reason, message: str) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message)
