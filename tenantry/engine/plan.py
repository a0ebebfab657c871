"""A plan: what a run will do, as steps in waves. Holds data; who makes it is planning.py, who carries it out
converging.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.engine.checkpoint import Recorded
from tenantry.engine.desired import DesiredResource
from tenantry.engine.effects import worst
from tenantry.engine.interface import Change, Effect, Op
from tenantry.engine.judging import Verdict, ignoring
from tenantry.engine.kubernetes_resources import Reference
from tenantry.engine.properties import plain

__all__ = ["Plan", "Step"]


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

    @property
    def acts(self) -> bool:
        """Whether anything outside the state file is touched."""
        return self.change.op is not Op.SAME and not self.is_logical

    @property
    def body(self) -> dict[str, Any]:
        """What is sent to the API server: the inputs less ignored fields, which stay whoever's they are."""
        inputs: dict[str, Any] = plain(dict(self.inputs))
        if self.wanted is not None and self.live is not None:
            inputs = ignoring(inputs, {}, self.wanted.ignore_changes)
        return inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """upserts: every wanted resource, in registration order, `same` included. deletes: by wave. strangers: objects
    that others put where the stack's own stand; they are told of and left alone."""

    upserts: tuple[Step, ...] = ()
    deletes: tuple[Step, ...] = ()
    strangers: tuple[Change, ...] = ()

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
