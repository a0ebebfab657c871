"""Planning: from what is wanted, recorded and alive to steps in waves. Reads; changes nothing.

The decisions themselves are pure (judging.py); here they are fed: live objects by list, server-side apply as a dry
run where only the API server can tell, the providers' read and diff.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from tenantry.engine import urn
from tenantry.engine.checkpoint import Recorded
from tenantry.engine.cluster import ApiError, connect
from tenantry.engine.desired import Desired, DesiredResource
from tenantry.engine.dynamic_resources import DynamicResources
from tenantry.engine.effects import kubernetes_effect, worst
from tenantry.engine.interface import Change, Effect, Op
from tenantry.engine.judging import Verdict, after_dry_run, ignoring, judge_kubernetes, judge_logical
from tenantry.engine.kubernetes_resources import (
    KubernetesResources,
    Reference,
    field_manager,
    is_ours,
    reference_of,
)
from tenantry.engine.properties import matches, plain
from tenantry.engine.sealing import Sealer
from tenantry.engine.waves import levels
from tenantry.tenancy.errors import Conflict, RunFailed

__all__ = ["Plan", "Planner", "Step", "body_of"]

_ENDING = "it is being deleted"
_MANAGED_BY = "app.kubernetes.io/managed-by"
_IDENTITY = ("tenantry.dev/tenant", "tenantry.dev/incarnation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One resource's part of a plan. wanted: None for a delete. inputs: what will be stored, or what was.

    reference, live, manager: of a Kubernetes object. ask: the verdict, when the API server must confirm it.
    wave: upserts run from 0 up, deletes likewise. retained: a delete that only forgets. provider: URN of the provider
    that reaches it.
    """

    change: Change
    wanted: DesiredResource | None
    recorded: Recorded | None
    inputs: Mapping[str, Any]
    reference: Reference | None = None
    live: Mapping[str, Any] | None = None
    manager: str = ""
    ask: Verdict | None = None
    wave: int = 0
    retained: bool = False
    provider: str | None = None

    @property
    def is_logical(self) -> bool:
        subject = self.wanted or self.recorded
        return subject is not None and subject.is_logical


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """upserts: every wanted resource, in registration order, `same` included. deletes: by wave."""

    upserts: tuple[Step, ...] = ()
    deletes: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*self.upserts, *self.deletes)

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(step.change for step in self.steps if step.change.op is not Op.SAME)

    @property
    def counts(self) -> dict[Op, int]:
        counts: dict[Op, int] = {}
        for step in self.steps:
            counts[step.change.op] = counts.get(step.change.op, 0) + 1
        return counts

    @property
    def worst(self) -> Effect:
        return worst(change.effect for change in self.changes)


@dataclass(slots=True, kw_only=True)
class Planner:
    """recorded: the checkpoint's resources and, marked pending, what a killed run began. sealer: None before a
    stack's first save."""

    recorded: Mapping[str, Recorded]
    sealer: Sealer | None
    dynamic: DynamicResources
    threads: ThreadPoolExecutor
    _clusters: dict[str, KubernetesResources] = field(default_factory=dict)

    def plan(self, desired: Desired) -> Plan:
        wanted = {one.urn: one for one in desired.resources}
        self.reach(desired.resources)
        references = {one.urn: reference_of(one.inputs) for one in desired.resources if one.is_kubernetes}
        gone = [one for name, one in self.recorded.items() if name not in wanted]
        old_references = self._old_references()
        live = self._observe(references, old_references, wanted)
        claimed = set(old_references.values())

        def decide(one: DesiredResource) -> Step:
            if one.is_logical:
                return self._logical(one)
            if one.is_dynamic:
                return self._dynamic(one)
            reference = references[one.urn]
            return self._kubernetes(one, reference, live.get(reference), reference in claimed)

        # Only providers and dry runs wait for others; the rest is decided at once.
        slow = [one for one in desired.resources if one.is_dynamic]
        steps = dict(zip((one.urn for one in slow), self.threads.map(decide, slow), strict=True))
        for one in desired.resources:
            if one.urn not in steps:
                steps[one.urn] = decide(one)
        asking = [step for step in steps.values() if step.ask is not None]
        for answer in self.threads.map(self._dry_run, asking):
            steps[answer.change.urn] = answer
        upserts = [steps[one.urn] for one in desired.resources]
        kept = set(references.values())
        deletes = [self._delete(one, live, kept, lift_protection=False) for one in gone]
        deletes += self._leftovers(live, kept | set(old_references.values()), upserts)
        return Plan(
            upserts=_in_waves(upserts),
            deletes=_deletes_in_waves([step for step in deletes if step is not None]),
        )

    def plan_destroy(self, *, lift_protection: bool) -> Plan:
        """Everything recorded goes, and whatever else of this stack still lives in its own namespaces."""
        self.reach(())
        references = self._old_references()
        live = self._observe({}, references, {})
        steps = [self._delete(one, live, set(), lift_protection=lift_protection) for one in self.recorded.values()]
        found = [step for step in steps if step is not None]
        found += self._leftovers(live, set(references.values()), found)
        return Plan(deletes=_deletes_in_waves(found))

    def cluster(self, provider: str | None) -> KubernetesResources:
        """The cluster behind a provider's URN."""
        return self._clusters[provider or ""]

    def opened(self, raw: Any) -> Any:
        return self.sealer.open(raw) if self.sealer is not None else raw

    def cluster_of(self, recorded: Recorded) -> KubernetesResources:
        return self._clusters[self._provider_of(recorded)]

    def reference_of(self, recorded: Recorded) -> Reference:
        """Where a recorded Kubernetes object stands."""
        return reference_of(plain(self.opened(recorded.raw.get("inputs") or {})))

    # -- inputs ----------------------------------------------------------------------------------------------------

    def reach(self, resources: Iterable[DesiredResource]) -> None:
        """Connect to the clusters that recorded and wanted providers name."""
        self._clusters.clear()
        for name, one in self.recorded.items():
            if one.type == "pulumi:providers:kubernetes":
                inputs = plain(self.opened(one.raw.get("inputs") or {}))
                self._clusters[name] = KubernetesResources(connect(inputs), self.threads)
        for wanted in resources:
            if wanted.type == "pulumi:providers:kubernetes":
                self._clusters[wanted.urn] = KubernetesResources(connect(plain(dict(wanted.inputs))), self.threads)
        if any(one.is_kubernetes for one in self.recorded.values()) and not self._clusters:
            self._clusters[""] = KubernetesResources(connect({}), self.threads)

    def _old_references(self) -> dict[str, Reference]:
        return {name: self.reference_of(one) for name, one in self.recorded.items() if one.is_kubernetes}

    def _provider_of(self, one: DesiredResource | Recorded) -> str:
        name = one.provider_urn or ""
        return name if name in self._clusters else next(iter(self._clusters), "")

    def _observe(
        self, new: Mapping[str, Reference], old: Mapping[str, Reference], wanted: Mapping[str, DesiredResource]
    ) -> dict[Reference, dict[str, Any]]:
        by_cluster: dict[str, set[Reference]] = {}
        for name, reference in new.items():
            by_cluster.setdefault(self._provider_of(wanted[name]), set()).add(reference)
        for name, reference in old.items():
            by_cluster.setdefault(self._provider_of(self.recorded[name]), set()).add(reference)
        found: dict[Reference, dict[str, Any]] = {}
        for provider, references in by_cluster.items():
            own = {one.name for one in references if one.kind == "Namespace" and one.api_version == "v1"}
            found.update(self._clusters[provider].observe(references, own))
        ending = {
            one.name
            for one, live in found.items()
            if one.kind == "Namespace" and live["metadata"].get("deletionTimestamp")
        }
        # What is in a namespace that is going away is as good as gone.
        return {one: live for one, live in found.items() if one.namespace not in ending}

    # -- decisions -------------------------------------------------------------------------------------------------

    def _logical(self, one: DesiredResource) -> Step:
        recorded = self.recorded.get(one.urn)
        before = self.opened(recorded.raw.get("inputs") or {}) if recorded is not None else None
        verdict = judge_logical(one.inputs, before)
        return Step(change=_change(one, verdict), wanted=one, recorded=recorded, inputs=one.inputs)

    def _dynamic(self, one: DesiredResource) -> Step:
        recorded = self.recorded.get(one.urn)
        title = f"{one.type} {one.name}"
        if recorded is None or recorded.pending:
            self.dynamic.check(title, {}, one.inputs)
            reason = "" if recorded is None else "a run that was cut short began it"
            return Step(
                change=_change(one, Verdict(op=Op.CREATE, reason=reason)),
                wanted=one,
                recorded=recorded,
                inputs=one.inputs,
            )
        before = self.opened(recorded.raw.get("inputs") or {})
        outputs = self.opened(recorded.raw.get("outputs") or {})
        inputs = ignoring(one.inputs, before, one.ignore_changes)
        verdict = self._judge_dynamic(one, recorded, before, outputs, inputs)
        step = Step(change=_change(one, verdict), wanted=one, recorded=recorded, inputs=inputs)
        _guard(step)
        return step

    def _judge_dynamic(
        self,
        one: DesiredResource,
        recorded: Recorded,
        before: Mapping[str, Any],
        outputs: Mapping[str, Any],
        inputs: Mapping[str, Any],
    ) -> Verdict:
        title = f"{one.type} {one.name}"
        made = self.dynamic.read(title, recorded.id, outputs)
        if made is None:
            return Verdict(op=Op.CREATE, reason="it is gone")
        if not matches(dict(before), dict(inputs)):
            self.dynamic.check(title, before, inputs)
            result = self.dynamic.diff(title, recorded.id, outputs, inputs)
            paths = tuple(
                key
                for key in sorted(before.keys() | inputs.keys())
                if not key.startswith("__") and not matches(before.get(key), inputs.get(key))
            )
            if result.replaces:
                effect = self._effect_without(one, inputs)
                reason = f"{', '.join(result.replaces)} cannot be changed in place"
                return Verdict(op=Op.REPLACE, effect=effect, paths=paths, reason=reason)
            if result.changes is not False:
                return Verdict(op=Op.UPDATE, effect=Effect.IN_PLACE, paths=paths)
        drift = self.dynamic.drifted(inputs, made)
        if drift:
            return Verdict(op=Op.UPDATE, effect=Effect.IN_PLACE, paths=drift, reason="it was changed outside")
        if recorded.raw.get("initErrors"):
            return Verdict(op=Op.UPDATE, reason="the last run did not finish it")
        return Verdict(op=Op.SAME)

    def _kubernetes(
        self, one: DesiredResource, reference: Reference, live: Mapping[str, Any] | None, claimed: bool
    ) -> Step:
        recorded = self.recorded.get(one.urn)
        outputs = recorded.raw.get("outputs") or {} if recorded is not None else {}
        manager = str(outputs.get("__fieldManager") or field_manager(one.urn))
        known = recorded is not None and not recorded.pending
        before = self.opened(recorded.raw.get("inputs") or {}) if recorded is not None and known else None
        if live is not None and not known and not claimed and not is_ours(live, one.inputs, manager):
            raise Conflict(
                f"{reference} already exists and does not belong to this stack",
                where=str(reference),
                hint="rename the resource, or delete that object if nobody needs it",
            )
        inputs = ignoring(one.inputs, before, one.ignore_changes)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            verdict = Verdict(op=Op.REPLACE, reason=_ENDING)
        else:
            moved = before is not None and live is not None and _moved(live, outputs)
            verdict = judge_kubernetes(
                inputs,
                recorded=before,
                outputs=self.opened(outputs) if moved else outputs,
                live=live,
                unfinished=bool(recorded is not None and recorded.raw.get("initErrors")),
                replace_on=one.replace_on_changes,
            )
        step = Step(
            change=_change(one, verdict),
            ask=verdict if verdict.ask else None,
            wanted=one,
            recorded=recorded,
            inputs=inputs,
            reference=reference,
            live=live,
            manager=manager,
            provider=self._provider_of(one),
        )
        _guard(step)
        return step

    def _dry_run(self, step: Step) -> Step:
        wanted, reference = step.wanted, step.reference
        if wanted is None or reference is None or step.live is None or step.ask is None:
            return step
        cluster = self.cluster(step.provider)
        body = body_of(step)
        try:
            result: dict[str, Any] | None = cluster.apply(body, step.manager, dry_run=True)
        except ApiError as error:
            if error.status != 422 or not cluster.allows_new(body):
                raise RunFailed(f"{reference}: {error}", where=str(reference)) from error
            result = None  # as a new object it is fine, so it is the change that is not
        final = after_dry_run(step.ask, step.inputs, step.live, result)
        step = replace(step, change=_change(wanted, final), ask=None)
        _guard(step)
        return step

    def _effect_without(self, one: DesiredResource | Recorded, inputs: Mapping[str, Any]) -> Effect:
        """What the loss of a dynamic resource means."""
        if one.protect or one.retain_on_delete or self.dynamic.holds_data(inputs):
            return Effect.DATA_LOSS
        return Effect.DOWNTIME

    def _delete(
        self,
        one: Recorded,
        live: Mapping[Reference, Mapping[str, Any]],
        kept: set[Reference],
        *,
        lift_protection: bool,
    ) -> Step | None:
        inputs = self.opened(one.raw.get("inputs") or {})
        reference = reference_of(plain(inputs)) if one.is_kubernetes else None
        found = live.get(reference) if reference is not None else None
        if one.pending and reference is not None and found is None:
            return None
        retained = (one.retain_on_delete and not lift_protection) or (reference is not None and reference in kept)
        if one.protect and not lift_protection and not one.is_logical:
            raise Conflict(
                f"{urn.type_of(one.urn)} {urn.name_of(one.urn)} is protected and would be deleted",
                where=one.urn,
                hint="deprovision the tenant, or keep the resource in the program",
            )
        if one.is_logical or retained:
            effect = Effect.NONE
        elif reference is not None:
            effect = kubernetes_effect(Op.DELETE, plain(inputs))
        else:
            effect = self._effect_without(one, inputs)
        change = Change(
            urn=one.urn,
            type=one.type,
            name=urn.name_of(one.urn),
            op=Op.DELETE,
            effect=effect,
            reason="it is kept and only forgotten" if retained and not one.is_logical else "",
        )
        return Step(
            change=change,
            wanted=None,
            recorded=one,
            inputs=inputs,
            reference=reference,
            live=found,
            retained=retained,
            provider=self._provider_of(one) if reference is not None else None,
        )

    def _leftovers(
        self, live: Mapping[Reference, Mapping[str, Any]], known: set[Reference], steps: Iterable[Step]
    ) -> list[Step]:
        """Objects of this very tenant and incarnation, made by this engine, that neither program nor state knows."""
        identities = {
            identity
            for step in steps
            if step.reference is not None and (identity := _identity(plain(dict(step.inputs)))) is not None
        }
        found = []
        for reference, one in live.items():
            metadata = one["metadata"]
            managers = [str(entry.get("manager")) for entry in metadata.get("managedFields") or ()]
            if (
                reference in known
                or metadata.get("ownerReferences")
                or _identity(one) not in identities
                or (metadata.get("labels") or {}).get(_MANAGED_BY) != "tenantry"
                or not any(manager.startswith("pulumi-kubernetes-") for manager in managers)
            ):
                continue
            type_ = f"kubernetes:{reference.api_version}:{reference.kind}"
            found.append(
                Step(
                    change=Change(
                        urn=urn.make(stack="", project="", parent=None, type_=type_, name=reference.name),
                        type=type_,
                        name=reference.name,
                        op=Op.DELETE,
                        effect=kubernetes_effect(Op.DELETE, one),
                        reason="left over in the cluster",
                    ),
                    wanted=None,
                    recorded=None,
                    inputs=one,
                    reference=reference,
                    live=one,
                    provider=next(iter(self._clusters)),
                )
            )
        return found


def body_of(step: Step) -> dict[str, Any]:
    """What is sent: the inputs less ignored fields, which stay whoever's they are."""
    inputs: dict[str, Any] = plain(dict(step.inputs))
    if step.wanted is not None and step.live is not None:
        inputs = ignoring(inputs, {}, step.wanted.ignore_changes)
    return inputs


def _change(one: DesiredResource, verdict: Verdict) -> Change:
    return Change(
        urn=one.urn,
        type=one.type,
        name=one.name,
        op=verdict.op,
        effect=verdict.effect,
        paths=verdict.paths,
        reason=verdict.reason,
    )


def _guard(step: Step) -> None:
    """Replacing deletes: a protected or retained resource refuses it."""
    recorded = step.recorded
    if step.change.op is not Op.REPLACE or step.change.reason == _ENDING:
        return
    if recorded is not None and (recorded.protect or recorded.retain_on_delete):
        raise Conflict(
            f"{step.change.type} {step.change.name} is protected and would be replaced: {step.change.reason}",
            where=step.change.urn,
            hint="take the change back; what must be replaced is restored into a new tenant",
        )


def _moved(live: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    """Whether an object was written since it was recorded (only then its recorded outputs must be decrypted)."""
    recorded: Callable[[str], Any] = (outputs.get("metadata") or {}).get
    return bool(live["metadata"].get("resourceVersion") != recorded("resourceVersion"))


def _identity(live: Mapping[str, Any]) -> tuple[str, str] | None:
    labels = (live.get("metadata") or {}).get("labels") or {}
    tenant, incarnation = (labels.get(key) for key in _IDENTITY)
    return (tenant, incarnation) if tenant and incarnation else None


def _in_waves(steps: list[Step]) -> tuple[Step, ...]:
    by_urn = {step.change.urn: step for step in steps}
    references = {name: set(step.wanted.references) if step.wanted else set() for name, step in by_urn.items()}
    _add_implicit(by_urn, references)
    acting = {name for name, step in by_urn.items() if step.change.op is not Op.SAME and not step.is_logical}
    found = levels(references, acting)
    return tuple(replace(step, wave=found[name]) for name, step in by_urn.items())


def _deletes_in_waves(steps: list[Step]) -> tuple[Step, ...]:
    """Deletes in reverse: what refers to others goes first."""
    by_urn = {step.change.urn: step for step in steps}
    references = {
        name: set(step.recorded.references) & by_urn.keys() if step.recorded else set() for name, step in by_urn.items()
    }
    _add_implicit(by_urn, references)
    acting = {name for name, step in by_urn.items() if not step.is_logical}
    found = levels(references, acting)
    top = max(found.values(), default=0)
    return tuple(
        sorted((replace(step, wave=top - found[name]) for name, step in by_urn.items()), key=lambda step: step.wave)
    )


def _add_implicit(by_urn: Mapping[str, Step], references: dict[str, set[str]]) -> None:
    """An object comes after its namespace and after the definition of its kind, said or not."""
    namespaces: dict[str, str] = {}
    definitions: dict[tuple[str, str], str] = {}
    for name, step in by_urn.items():
        if step.reference is None:
            continue
        if step.reference.kind == "Namespace":
            namespaces[step.reference.name] = name
        elif step.reference.kind == "CustomResourceDefinition":
            spec = plain(step.inputs.get("spec")) or {}
            definitions[str(spec.get("group")), str((spec.get("names") or {}).get("kind"))] = name
    for name, step in by_urn.items():
        if step.reference is None:
            continue
        group = step.reference.api_version.rpartition("/")[0]
        for found in (namespaces.get(step.reference.namespace), definitions.get((group, step.reference.kind))):
            if found is not None and found != name:
                references[name].add(found)
