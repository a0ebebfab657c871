"""Verifying: what is wrong with a stack's state, inside of it and against what lives. Reads; changes nothing.

Called by run.py with the state of whichever engine wrote it. What is inside (order, references, secrets) comes first: a
damaged state is not compared with anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tenantry.engine import urn
from tenantry.engine.checkpoint import Recorded
from tenantry.engine.dynamic_resources import DynamicResources
from tenantry.engine.findings import Finding, Verification, Wrong
from tenantry.engine.integrity import damages
from tenantry.engine.interface import Stack
from tenantry.engine.kubernetes_resources import Reference, identity_of, is_stray
from tenantry.engine.properties import SECRET_SIGNATURE, SIGNATURE_KEY, differing_paths, matches, plain, pruned
from tenantry.engine.reach import Reach
from tenantry.engine.sealing import Sealer
from tenantry.tenancy.errors import StateCorrupt, TenantryError

__all__ = ["Verifier", "inner_findings", "unreadable_key"]

_LABELS = "metadata.labels"
_SHOWN = 4
"""Paths of one changed resource that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """sealer: None where the state has no key (and so no secrets)."""

    stack: Stack
    dynamic: DynamicResources
    sealer: Sealer | None
    threads: ThreadPoolExecutor

    def verify(self, latest: Mapping[str, Any], *, unsettled: tuple[Finding, ...] = ()) -> Verification:
        """unsettled: what the caller knows of locks and killed runs."""
        resources = tuple(latest.get("resources") or ())
        found = inner_findings(self.stack, latest, self.sealer)
        secrets = sum(1 for raw in resources for _ in _secrets_in(raw))
        compared = 0
        if not found:
            states = {one.urn: one for one in map(Recorded, resources) if not one.raw.get("delete")}
            outside = [one for one in states.values() if one.is_kubernetes or one.is_dynamic]
            compared = len(outside)
            found = [*unsettled, *self._against_what_lives(states)]
        else:
            found += unsettled
        return Verification(resources=len(resources), secrets=secrets, compared=compared, findings=tuple(found))

    def _against_what_lives(self, states: Mapping[str, Recorded]) -> Iterator[Finding]:
        reach = Reach(recorded=states, sealer=self.sealer, threads=self.threads)
        reach.connect(())
        places = reach.references()
        live = reach.observe({}, places, {})
        for name, reference in places.items():
            yield from _kubernetes(states[name], reference, live.get(reference), reach)
        dynamic = [one for one in states.values() if one.is_dynamic]
        for findings in self.threads.map(lambda one: list(self._dynamic(one, reach)), dynamic):
            yield from findings
        inputs = (plain(reach.opened(states[name].raw.get("inputs") or {})) for name in places)
        identities = {identity_of(one) for one in inputs}
        for provider in {reach.provider_of(states[name]) for name in places}:
            for reference, one in reach.cluster(provider).labelled(identities).items():
                if reference not in places.values() and is_stray(one, identities):
                    yield Finding(
                        wrong=Wrong.UNRECORDED,
                        subject=str(reference),
                        message="it carries this stack's labels and was made by an engine, and the state knows "
                        "nothing of it",
                        hint="the next `up` removes it; or import the state that has it",
                    )

    def _dynamic(self, one: Recorded, reach: Reach) -> Iterator[Finding]:
        inputs, outputs = (reach.opened(one.raw.get(key) or {}) for key in ("inputs", "outputs"))
        made = self.dynamic.read(f"{one.type} {urn.name_of(one.urn)}", one.id, outputs or inputs)
        if made is None:
            yield _gone(one, urn.name_of(one.urn))
        elif paths := self.dynamic.drifted(inputs, made):
            yield _changed(one, paths)


def inner_findings(stack: Stack, latest: Mapping[str, Any], sealer: Sealer | None) -> list[Finding]:
    """What is wrong inside of a deployment: its integrity, and secrets that its key does not open."""
    found = list(damages(latest, stack=stack.name, project=stack.project))
    for raw in latest.get("resources") or ():
        if isinstance(raw, Mapping):
            found += _unreadable(raw, sealer)
    return found


def _unreadable(raw: Mapping[str, Any], sealer: Sealer | None) -> Iterator[Finding]:
    name = str(raw.get("urn"))
    closed = 0
    for path, secret in _secrets_in(raw):
        if "ciphertext" not in secret:
            yield Finding(
                wrong=Wrong.PLAIN_SECRET,
                subject=name,
                message=f"{path} is a secret and stands in plain text",
                hint="the file was exported with --show-secrets: import one without, and replace what was in it",
            )
            continue
        try:
            if sealer is None:
                closed += 1
            else:
                sealer.decrypt(str(secret["ciphertext"]))
        except StateCorrupt:
            closed += 1
    if closed:
        yield Finding(
            wrong=Wrong.UNREADABLE_SECRET,
            subject=name,
            message=f"{closed} of its secrets cannot be decrypted with the stack's key",
            hint="import a state from before it was edited, or restore the key to the point of the state",
        )


def _secrets_in(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if value.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            yield path, value
            return
        for key, item in value.items():
            yield from _secrets_in(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _secrets_in(item, f"{path}[{index}]")


def _kubernetes(one: Recorded, reference: Reference, live: Mapping[str, Any] | None, reach: Reach) -> Iterator[Finding]:
    if live is None or live["metadata"].get("deletionTimestamp"):
        yield _gone(one, str(reference))
        return
    outputs = reach.opened(one.raw.get("outputs") or {})
    recorded = plain(outputs.get("metadata") or {})
    if recorded.get("uid") and recorded["uid"] != live["metadata"]["uid"]:
        yield Finding(
            wrong=Wrong.REPLACED,
            subject=one.urn,
            message=f"{reference} is another object than the recorded one: it was deleted and made anew",
            hint="look at who did; the next `up` takes it over or refuses it",
        )
        return
    if recorded.get("resourceVersion") == live["metadata"].get("resourceVersion"):
        return
    inputs = reach.opened(one.raw.get("inputs") or {})
    before, after = pruned(outputs, inputs), pruned(live, inputs)
    if matches(before, after):
        return
    paths = tuple(differing_paths(before, after))
    labels = [path for path in paths if path.startswith(_LABELS)]
    if labels:
        yield Finding(
            wrong=Wrong.RELABELLED,
            subject=one.urn,
            message=f"{reference} has other labels than recorded: {', '.join(labels[:_SHOWN])}",
            hint="the next `up` sets them again; until then selectors do not find it",
        )
    others = tuple(path for path in paths if path not in labels)
    if others:
        yield _changed(one, others)


def _gone(one: Recorded, what: str) -> Finding:
    return Finding(
        wrong=Wrong.GONE,
        subject=one.urn,
        message=f"{what} stands in the state and does not exist",
        hint="the next `up` makes it again",
    )


def _changed(one: Recorded, paths: tuple[str, ...]) -> Finding:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return Finding(
        wrong=Wrong.CHANGED,
        subject=one.urn,
        message=f"it was changed outside: {', '.join(paths[:_SHOWN])}{more}",
        hint="the next `up` changes it back",
    )


def unreadable_key(error: TenantryError) -> Finding:
    """The key itself is gone or the wrong one: no secret of the state can be read."""
    return Finding(
        wrong=Wrong.UNREADABLE_SECRET, subject=error.where or "", message=error.message, hint=error.hint or ""
    )
